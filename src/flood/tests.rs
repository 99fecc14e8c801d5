//! Accounts of HTTP/2 connections over a pipe: what is cut off, and what is not.

use std::cell::RefCell;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
    let length = u32::try_from(payload).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.resize(HEAD + payload, 0);
    bytes
}

/// One side of a connection, the other of which is counted; what was reported, and what our side got to read.
struct Trial {
    sent: usize,
    reported: Option<&'static str>,
    heard: Vec<u8>,
}

/// Sends the frames that `next` makes of their numbers for as long as they are taken, `answers` frames of an answer coming back
/// for each; at most `most` of them.
async fn trial(most: usize, answers: usize, next: impl Fn(u32) -> Vec<u8>) -> Trial {
    let (mut peer, ours) = duplex(1 << 20);
    let reported = RefCell::new(None);
    let mut counted = Counted::accepted(ours, |told| {
        if let FrameReport::Flood(kind) = told {
            assert!(reported.replace(Some(kind)).is_none(), "told twice");
        }
    });
    let mut heard = Vec::new();
    peer.write_all(&[0; PREFACE]).await.unwrap();
    let mut sent = 0;
    let mut room = vec![0; 1 << 16];
    for number in 0..most {
        peer.write_all(&next(u32::try_from(number).unwrap())).await.unwrap();
        if counted.read(&mut room).await.is_err() {
            break;
        }
        sent += 1;
        for _ in 0..answers {
            counted.write_all(&frame(DATA, 0, 1, 100)).await.unwrap();
            peer.read_exact(&mut [0; HEAD + 100]).await.unwrap();
        }
    }
    drop(counted);
    peer.read_to_end(&mut heard).await.unwrap();
    Trial { sent, reported: reported.into_inner(), heard }
}

#[tokio::test]
async fn every_kind_of_frame_without_a_request_is_cut_off_with_a_word_to_it() {
    // AT-SM-17, PX-47
    let floods: [(&str, Vec<u8>); 11] = [
        ("SETTINGS", frame(4, 0, 0, 6)),
        ("SETTINGS", frame(4, 0, 0, 0)),
        ("WINDOW_UPDATE", frame(8, 0, 0, 4)),
        ("PING", frame(6, 0, 0, 8)),
        ("PING", frame(6, 1, 0, 8)),
        ("PRIORITY", frame(2, 0, 1, 5)),
        ("RST_STREAM", frame(3, 0, 1, 4)),
        ("unknown", frame(0x42, 0, 0, 0)),
        ("CONTINUATION", frame(CONTINUATION, 0, 1, 0)),
        ("DATA", frame(DATA, 0, 1, 0)),
        ("DATA", frame(DATA, PADDED, 1, 256)),
    ];
    for (kind, bytes) in floods {
        let trial = trial(10_000, 0, |_| bytes.clone()).await;
        assert_eq!(trial.reported, Some(kind));
        assert!(trial.sent < 10_000, "{kind}: all were taken");
        assert_eq!(trial.heard, go_away(0), "{kind}");
    }
}

#[tokio::test]
async fn large_frames_without_content_cost_more() {
    let trial = trial(10_000, 0, |_| frame(4, 0, 0, 12_000)).await;
    assert_eq!(trial.reported, Some("SETTINGS"));
    assert!(trial.sent < 100, "{}", trial.sent);
}

#[tokio::test]
async fn requests_that_are_never_answered_are_counted_too() {
    // Rapid reset at a pace that h2 does not notice, because it has begun to answer each time.
    let trial = trial(10_000, 0, |number| {
        let stream = number * 2 + 1;
        [frame(HEADERS, 4, stream, 6), frame(3, 0, stream, 4)].concat()
    })
    .await;
    assert_eq!(trial.reported, Some("RST_STREAM"));
    let last = u32::from_be_bytes(trial.heard[HEAD..HEAD + 4].try_into().unwrap());
    assert_eq!(trial.heard, go_away(last));
    assert_eq!(last as usize, trial.sent * 2 + 1, "the last stream that was taken");
}

#[tokio::test]
async fn a_client_that_acknowledges_every_piece_of_a_download_twice_passes() {
    let update = [frame(8, 0, 0, 4), frame(8, 0, 1, 4), frame(6, 0, 0, 8)].concat();
    let trial = trial(20_000, 1, |_| update.clone()).await;
    assert_eq!((trial.sent, trial.reported), (20_000, None));
}

#[tokio::test]
async fn what_was_earned_may_be_spent_late() {
    let (mut peer, ours) = duplex(1 << 20);
    let mut counted = Counted::accepted(ours, |told| assert!(matches!(told, FrameReport::Content(_)), "{told:?}"));
    peer.write_all(&[0; PREFACE]).await.unwrap();
    for _ in 0..1024 {
        counted.write_all(&frame(DATA, 0, 1, 100)).await.unwrap();
        peer.read_exact(&mut [0; HEAD + 100]).await.unwrap();
    }
    let mut room = vec![0; 1 << 20];
    for _ in 0..2 * 1024 {
        peer.write_all(&frame(8, 0, 1, 4)).await.unwrap();
        assert!(counted.read(&mut room).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn an_upload_is_free() {
    let trial = trial(20_000, 0, |_| frame(DATA, 0, 1, 1)).await;
    assert_eq!((trial.sent, trial.reported), (20_000, None));
}

#[test]
fn what_is_used_up_comes_back_and_never_more_than_the_burst() {
    let start = Instant::now();
    let after = |millis| start + std::time::Duration::from_millis(millis);
    let mut account = Account { left: -1, since: start };
    assert!(!account.refill(after(0)), "a flood");
    assert!(account.refill(after(10)), "two came back");
    assert_eq!(account.left, 1);
    account.left = -1;
    assert!(account.refill(after(1_000_000)));
    assert_eq!(account.left, BURST - 1);
    account.left = -BURST;
    assert!(!account.refill(after(1_001_000)), "a second is not enough for that");
}

#[tokio::test]
async fn only_content_counts_as_read_by_the_client() {
    // AT-SM-23: answers to pings and settings are no progress of a download
    let (mut peer, ours) = duplex(1 << 20);
    let content = std::cell::Cell::new(0);
    let mut counted = Counted::accepted(ours, |told| {
        if let FrameReport::Content(bytes) = told {
            content.set(content.get() + bytes);
        }
    });
    let all =
        [frame(4, 1, 0, 0), frame(HEADERS, 4, 1, 30), frame(DATA, 0, 1, 700), frame(6, 1, 0, 8), frame(DATA, 1, 1, 5)];
    for piece in all.concat().chunks(7) {
        counted.write_all(piece).await.unwrap();
    }
    assert_eq!(content.get(), 705);
    counted.write_all(&frame(DATA, 0, 1, 100)[..HEAD + 40]).await.unwrap();
    assert_eq!(content.get(), 745, "what the client has not taken does not count");
    drop(counted);
    peer.read_to_end(&mut Vec::new()).await.unwrap();
}

#[test]
fn frames_are_told_apart_however_they_are_cut() {
    let all = [frame(HEADERS, 4, 7, 30), frame(DATA, 0, 7, 0), frame(DATA, 1, 7, 513), frame(6, 0, 0, 8)].concat();
    let stream = [vec![9; PREFACE], all].concat();
    for size in 1..stream.len() {
        let (mut frames, mut seen) = (Frames::after(PREFACE), Vec::new());
        for piece in stream.chunks(size) {
            frames.pass(piece, |frame| seen.push((frame.kind, frame.length)));
        }
        assert_eq!(seen, [(HEADERS, 30), (DATA, 0), (DATA, 513), (6, 8)], "in pieces of {size}");
        assert!(frames.is_between());
        assert_eq!(frames.highest_stream, 7);
    }
}
