//! `keys rotate` and `keys list` by the real program: no step keeps anybody out, and none half done.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::harness::gateway::key;
use crate::harness::idp::{CLIENT_ID, IdpSettings};
use crate::harness::program::{HOST, clock_of_today};
use crate::harness::{Browser, Program, RecordingUpstream, TestIdp};
use crate::program::config;

#[test]
fn a_key_is_staged_then_promoted_and_the_comments_of_the_file_stay() {
    let folder = folder(&[("session_key", 0)]);
    let before = text(&folder);
    let (exit, said, errors) = rotate(&folder, &["--stage"]);
    assert_eq!((exit, errors.as_str()), (0, ""), "{said}");
    let staged = new_key(&folder);
    assert_eq!(listed(&folder), ["seals session_key".to_owned(), format!("opens {staged}")]);
    assert_eq!(mode(&folder, &staged), 0o600);
    assert_eq!(mode(&folder, "vestibule.toml"), 0o640);
    assert!(said.contains("--promote") && said.contains("only opens"), "{said}");
    let after = text(&folder);
    assert!(after.contains("# the keys of the wiki") && after.contains("# of this spring"), "{after}");
    assert_eq!(after.lines().count(), before.lines().count() + 1, "{after}");

    // Staged once is enough.
    let (exit, _, errors) = rotate(&folder, &["--stage"]);
    assert!(exit == 65 && errors.contains("staged already"), "{exit} {errors}");

    let (exit, said, errors) = rotate(&folder, &["--promote"]);
    assert_eq!((exit, errors.as_str()), (0, ""), "{said}");
    assert_eq!(listed(&folder), [format!("seals {staged}"), "opens session_key".to_owned()]);
    assert!(said.contains("session.lifetime") && said.contains("(in 12 h)"), "{said}");
    // A second time would put the old key back.
    let promoted = text(&folder);
    let (exit, _, errors) = rotate(&folder, &["--promote"]);
    assert!(exit == 65 && errors.contains("nothing was changed"), "{exit} {errors}");
    assert_eq!(text(&folder), promoted);
    assert!(names(&folder).iter().all(|name| !name.starts_with('.')), "{:?}", names(&folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_out_by_a_rotation() {
    // CK-15
    let idp = TestIdp::sharing(IdpSettings::default(), clock_of_today()).await;
    let upstream = RecordingUpstream::start().await;
    let origin = format!("https://{HOST}");
    idp.allow_return_to(
        CLIENT_ID,
        &format!("{origin}/_vestibule/callback"),
        &format!("{origin}/_vestibule/signed-out"),
    );
    let text = config(&upstream.url())
        .replace("http://127.0.0.1:9", idp.issuer())
        .replace("access = 'public'", "access = 'login'")
        .replace(&format!("'{}'", key(1)), "{ file = 'session_key' }");
    let folder = folder(&[("session_key", 0)]);
    fs::write(folder.path().join("vestibule.toml"), text).unwrap();
    let mut command = Program::command();
    command.args(["run", "-c", "vestibule.toml"]);
    let program = Program::started(command, folder);
    let address = program.address().await;
    let browser = || Browser::new(clock_of_today()).resolving(&origin, address);
    let (early, url) = (browser(), format!("{origin}/"));
    assert_eq!(early.signs_in(&url, "Ada").await.status, 200);
    for (step, reloads) in [("--stage", 1), ("--promote", 2)] {
        let ended = tokio::task::block_in_place(|| rotate(&program.folder, &[step]));
        assert_eq!(ended.0, 0, "{ended:?}");
        program.signals("HUP");
        program.reloaded(reloads).await;
        assert_eq!(early.asks(&url).await.status, 200, "{step}");
    }
    // Who signs in now gets a session of the new key.
    let late = browser();
    assert_eq!(late.signs_in(&url, "Ada").await.status, 200);
    let keys: Vec<String> = [early, late].iter().map(|browser| key_of(browser, &url, &program.folder)).collect();
    assert!(keys[0].ends_with("number 2 of session.keys") && keys[1].ends_with("number 1 of session.keys"), "{keys:?}");
}

/// The key that sealed a browser's session, as `session inspect` names it.
fn key_of(browser: &Browser, url: &str, folder: &TempDir) -> String {
    let cookie = browser.cookie(url, "__Host-vestibule").unwrap();
    let arguments = ["session", "inspect", "--format", "json"];
    let (_, said, errors) = tokio::task::block_in_place(|| Program::fed(&cookie, &arguments, folder));
    let told: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error} {said}{errors}"));
    told["contents"]["key"].as_str().unwrap().to_owned()
}

#[test]
fn both_steps_at_once_are_for_one_instance_and_say_so() {
    let folder = folder(&[("session_key", 0)]);
    let (exit, said, errors) = rotate(&folder, &[]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    let new = new_key(&folder);
    assert_eq!(listed(&folder), [format!("seals {new}"), "opens session_key".to_owned()]);
    assert!(said.contains("for one instance"), "{said}");
    let (exit, said, errors) = Program::ended(&["check", "--offline"], &folder);
    assert_eq!(exit, 0, "{said}{errors}");
    for secret in [fs::read_to_string(folder.path().join(&new)).unwrap(), key(1)] {
        assert!(!said.contains(secret.trim()) && !errors.contains(secret.trim()));
    }
}

#[test]
fn keys_that_have_not_sealed_for_long_are_dropped_and_no_other() {
    // The second sealed until the first was made, 20 days ago; the third until the second was, 40 days ago.
    let folder = folder(&[("a", 20), ("b", 40), ("c", 60)]);
    let (exit, said, _) = rotate(&folder, &["--stage", "--drop-after", "30d"]);
    assert_eq!(exit, 0, "{said}");
    let staged = new_key(&folder);
    assert_eq!(
        listed(&folder),
        ["seals a".to_owned(), "opens b".to_owned(), format!("opens {staged}")],
        "the staged key stays"
    );
    assert!(said.contains("c (") && said.contains("off the list"), "{said}");
    assert!(folder.path().join("c").exists(), "its file is for the operator to remove");
    // The key that sealed until a moment ago stays, however old it is.
    let (exit, said, _) = rotate(&folder, &["--promote", "--drop-after", "1h"]);
    assert_eq!(exit, 0);
    assert_eq!(listed(&folder), [format!("seals {staged}"), "opens a".to_owned()]);
    assert!(said.contains("shorter than `session.lifetime`"), "{said}");
}

#[test]
fn what_cannot_be_rotated_is_left_as_it_is() {
    let folder = folder(&[("session_key", 0)]);
    let before = (text(&folder), names(&folder));
    for (arguments, exit, told) in [
        (&["--promote"] as &[&str], 65, "one key only"),
        (&["--stage", "--promote"], 64, "cannot be used with"),
        (&["--drop-after", "soon"], 64, "--drop-after"),
        (&["--set", "session.keys=x"], 78, "session key"),
        (&["-c", "nowhere.toml"], 78, "cannot be read"),
    ] {
        let (code, _, errors) = rotate(&folder, arguments);
        assert!(code == exit && errors.contains(told), "{arguments:?}: {code} {errors}");
        assert_eq!((text(&folder), names(&folder)), before, "{arguments:?}");
    }
    let (code, _, errors) = rotate(&folder, &["--set", &format!("session.keys={}", key(9))]);
    assert!(code == 65 && errors.contains("flag --set session.keys"), "{code} {errors}");
    fs::write(folder.path().join("vestibule.toml"), config("static:204")).unwrap();
    let (code, _, errors) = rotate(&folder, &["--stage"]);
    assert!(code == 65 && errors.contains("not in a file"), "{code} {errors}");
}

#[test]
fn the_list_tells_keys_apart_without_showing_any() {
    let folder = folder(&[("a", 3), ("b", 40)]);
    let (exit, said, errors) = Program::ended(&["keys", "list"], &folder);
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert!(said.contains("(3 days ago)") && said.contains("0600"), "{said}");
    let (_, json, _) = Program::ended(&["keys", "list", "--format", "json"], &folder);
    let rows = serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let [first, second] = [0, 1].map(|at| rows["keys"][at]["fingerprint"].as_str().unwrap());
    assert!(first.len() == 8 && first != second && said.contains(first) && said.contains(second));
    assert!(!said.contains(&key(1)) && !json.contains(&key(2)));
}

fn rotate(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    Program::ended(&[&["keys", "rotate"], arguments].concat(), folder)
}

/// A configuration with these keys, each made so many days ago.
fn folder(keys: &[(&str, u64)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut list = "[ # the keys of the wiki\n".to_owned();
    for ((name, days), number) in keys.iter().zip(1..) {
        let path = folder.path().join(name);
        fs::write(&path, key(number)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let made =
            SystemTime::UNIX_EPOCH + Duration::from_millis(vestibule::clock::SystemClock::shared().now().millis());
        let made = made - Duration::from_secs(days * 86_400 + 60);
        File::options().write(true).open(&path).unwrap().set_modified(made).unwrap();
        list.push_str(&format!("  {{ file = '{name}' }}, # of this spring\n"));
    }
    let text = config("static:204").replace(&format!("['{}']", key(1)), &format!("{list}]"));
    let path = folder.path().join("vestibule.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap();
    folder
}

fn text(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("vestibule.toml")).unwrap()
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The file that a rotation made.
fn new_key(folder: &TempDir) -> String {
    names(folder).into_iter().find(|name| name.contains(".20")).unwrap()
}

fn mode(folder: &TempDir, name: &str) -> u32 {
    fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777
}

/// Use and file of each key, as the program tells them.
fn listed(folder: &TempDir) -> Vec<String> {
    let (exit, said, errors) = Program::ended(&["keys", "list", "--format", "json"], folder);
    assert_eq!(exit, 0, "{errors}");
    let rows: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of = |row: &serde_json::Value| {
        let [role, place] = ["use", "where"].map(|name| row[name].as_str().unwrap());
        format!("{role} {}", place.rsplit('/').next().unwrap())
    };
    rows["keys"].as_array().unwrap().iter().map(of).collect()
}
