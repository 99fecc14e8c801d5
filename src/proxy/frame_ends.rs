//! Where the frames of a WebSocket end ([RFC 6455 section 5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)): a frame of ours may
//! stand between two of the application's, and nowhere else. What they hold is not looked at.

/// How far one direction of a WebSocket is.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameEnds {
    /// Bytes of the frame's head that have passed.
    head: u8,
    /// Bytes that the head has.
    head_length: u8,
    /// Where the length of the payload ends in it.
    extended_to: u8,
    /// That length, as far as it has passed.
    length: u64,
    /// Bytes of the payload that are still to come.
    payload: u64,
}

impl FrameEnds {
    /// Notes what passes.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = bytes.get(self.step(bytes)..).unwrap_or_default();
        }
    }

    /// Whether a frame has ended and no other has begun.
    pub(super) fn is_between(&self) -> bool {
        self.head == 0 && self.payload == 0
    }

    /// How many of these bytes belong to the frame that has begun.
    pub(super) fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        let (mut ahead, mut passed) = (self.clone(), 0);
        while !ahead.is_between() {
            match bytes.get(passed..) {
                None | Some([]) => break,
                Some(rest) => passed += ahead.step(rest),
            }
        }
        passed
    }

    /// Notes the next byte of a head, or what there is of a payload; how many bytes that were.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let passed = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
            self.payload -= passed as u64;
            return passed;
        }
        if let Some(byte) = bytes.first() {
            self.head_byte(*byte);
        }
        1
    }

    /// The second byte tells the lengths of head and payload; the longer lengths of payloads follow it, and then the mask.
    fn head_byte(&mut self, byte: u8) {
        self.head += 1;
        match self.head {
            1 => {}
            2 => {
                let (length, extended) = match byte & 0x7f {
                    126 => (0, 2),
                    127 => (0, 8),
                    short => (u64::from(short), 0),
                };
                self.length = length;
                self.extended_to = 2 + extended;
                self.head_length = self.extended_to + if byte & 0x80 == 0 { 0 } else { MASK };
            }
            at if at <= self.extended_to => self.length = self.length << 8 | u64::from(byte),
            _ => {}
        }
        if self.head >= 2 && self.head == self.head_length {
            (self.head, self.payload) = (0, self.length);
        }
    }
}

/// Bytes of a mask.
const MASK: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of an application: head, and so many bytes of payload.
    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let bit = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match length {
            0..126 => bytes.push(bit | u8::try_from(length).unwrap()),
            126..65536 => {
                bytes.push(bit | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(std::iter::repeat_n(0xff, length + if masked { 4 } else { 0 }));
        bytes
    }

    #[test]
    fn a_frame_ends_where_its_head_says_however_it_is_cut() {
        for length in [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000] {
            for masked in [false, true] {
                let frame = frame(length, masked);
                for cut in (0..frame.len()).step_by(1 + frame.len() / 50) {
                    let (first, second) = frame.split_at(cut);
                    let mut ends = FrameEnds::default();
                    ends.pass(first);
                    assert_eq!(ends.is_between(), cut == 0, "{cut} of {length}");
                    let more = [second, &[0x81, 1, b'x']].concat();
                    assert_eq!(ends.rest_of_frame(&more), if cut == 0 { 0 } else { second.len() }, "{cut} of {length}");
                    ends.pass(second);
                    assert!(ends.is_between(), "{length}");
                }
            }
        }
    }

    #[test]
    fn whatever_passes_is_no_trouble() {
        let mut ends = FrameEnds::default();
        for byte in 0..=255 {
            ends.pass(&[byte; 40]);
        }
        ends.pass(&[0xff; 64]);
        assert!(ends.rest_of_frame(&[0; 9]) <= 9);
    }
}
