//! Lists of `allow` that somebody else keeps in a file: who gets in as they change, and what becomes of what is open.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Program, Raw, Scene, Stage};
use crate::program::config;
use crate::websocket::{HANDSHAKE, HI, SWITCH, opened};

/// Writes a list as a program should: beside the old one, and then in its place.
fn writes(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Ada signed in, and a list in a file that holds this.
async fn scene(list: &str, toml: &str) -> (Scene, TempDir) {
    let folder = TempDir::new().unwrap();
    writes(&folder.path().join("list"), list);
    let toml = toml.replace("LIST", &format!("{{ file = '{}' }}", folder.path().join("list").display()));
    (Scene::signed_in_with(&toml).await, folder)
}

/// Changes the list, and the gateway looks at it.
fn changes(scene: &Scene, folder: &TempDir, list: &str) {
    writes(&folder.path().join("list"), list);
    let taken = scene.gateway.looks_at_followed();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert!(taken[0].outcome.is_ok(), "{taken:?}");
}

async fn status(scene: &Scene, path: &str) -> u16 {
    scene.asks(path).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_on_the_list_passes_and_one_who_was_taken_off_it_does_not_whatever_the_key() {
    for (key, ada, others) in [
        ("emails", "Ada@Example.com", "grace@example.com\nxada@example.com"),
        ("domains", "example.com", "*.example.com\nxample.com"),
        ("domains", "*.com", "*.org\ncom"),
        ("users", "248289761001", "248289761002"),
        ("subjects", "248289761001", "ada@example.com"),
        ("groups", "admins", "Admins\nowners"),
    ] {
        let toml = format!(
            "provider.idp.scopes = ['openid', 'profile', 'email', 'groups']\nroute.app.allow.{key} = LIST\n\
             route.app.paths.'/part' = {{ allow.{key} = LIST }}\nroute.app.paths.'/open' = {{ access = 'public' }}"
        );
        let (scene, folder) = scene(&format!("# people\n{others}\n\n{ada}\n"), &toml).await;
        for path in ["/", "/part"] {
            assert_eq!(status(&scene, path).await, 200, "{key} {path}");
        }
        scene.forget_seen();
        changes(&scene, &folder, others);
        for path in ["/", "/part"] {
            let page = scene.asks(path).await;
            assert_eq!((page.status, page.text().contains("VB-4010")), (403, true), "{key} {path}");
            assert!(
                !page.text().contains("grace@") && !page.text().contains("owners"),
                "who else is on it stays private"
            );
        }
        scene.assert_nobody_was_asked("taken off the list");
        // Back in, without a sign-in.
        changes(&scene, &folder, &format!("{ada}\r\n{others}"));
        assert_eq!(status(&scene, "/").await, 200, "{key}");
        assert!(scene.idp.seen().is_empty(), "nobody signs in again, and the provider is not read again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_list_lets_nobody_pass_and_one_that_cannot_be_taken_changes_nothing() {
    let (scene, folder) = scene(
        "ada@example.com",
        "route.app.allow.emails = LIST\nroute.app.paths.'/all' = { allow.users = '248289761001' }",
    )
    .await;
    let path = folder.path().join("list");
    assert_eq!(status(&scene, "/").await, 200);
    let is = |current: u8| format!("\nvestibule_followed_file_current{{name=\"route.app.allow.emails\"}} {current}\n");
    let breaks: [(&str, &dyn Fn()); 3] = [
        ("line 2 holds \"grace\"", &|| writes(&path, "grace@example.com\ngrace")),
        ("No such file", &|| fs::remove_file(&path).unwrap()),
        ("is not UTF-8", &|| fs::write(&path, b"a@b.c\n\xff").unwrap()),
    ];
    for (why, breaks) in breaks {
        breaks();
        let refused = scene.gateway.looks_at_followed();
        let told = refused[0].outcome.clone().unwrap_err();
        assert!(told.contains(why), "{told}");
        assert!(scene.gateway.looks_at_followed().is_empty(), "told once");
        assert_eq!(status(&scene, "/").await, 200, "{why}");
        assert!(scene.gateway.admin_text("/metrics").await.contains(&is(0)));
        let verbose = scene.gateway.admin_text("/readyz?verbose").await;
        assert!(verbose.contains("[!]file route.app.allow.emails degraded") && verbose.contains(why), "{verbose}");
        assert_eq!(scene.gateway.admin_text("/readyz").await, "ok\n");
    }
    for nobody in ["", "# all gone\n"] {
        changes(&scene, &folder, nobody);
        scene.forget_seen();
        assert_eq!(status(&scene, "/").await, 403);
        scene.assert_nobody_was_asked("an emptied list");
        assert_eq!(status(&scene, "/all").await, 403, "a part asks for both");
    }
    assert!(scene.gateway.admin_text("/metrics").await.contains(&is(1)));
    changes(&scene, &folder, "ada@example.com");
    assert_eq!((status(&scene, "/").await, status(&scene, "/all").await), (200, 200), "and nobody was signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_goes_on_with_what_a_list_held_last_however_it_is_now() {
    let (mut scene, folder) = scene("ada@example.com", "route.app.allow.emails = LIST").await;
    fs::remove_file(folder.path().join("list")).unwrap();
    scene.gateway.reload_with("pages.title = 'Wiki'");
    assert_eq!(status(&scene, "/").await, 200);
    writes(&folder.path().join("list"), "");
    assert!(scene.gateway.looks_at_followed()[0].outcome.is_ok());
    scene.gateway.reloads();
    assert_eq!(status(&scene, "/").await, 403, "not everybody, and no error that keeps the old list");
    // Followed by the new configuration as well.
    changes(&scene, &folder, "ada@example.com");
    assert_eq!(status(&scene, "/").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_of_somebody_who_is_taken_off_the_list_is_closed_and_others_go_on() {
    let (scene, folder) = scene("ada@example.com\ngrace@example.com", "route.app.allow.emails = LIST").await;
    let (ada, grace) = (scene.session_of("Ada").await, scene.session_of("Grace").await);
    scene.upstream.answers(SWITCH);
    let (mut adas, mut graces) = (opened(&scene, &ada).await, opened(&scene, &grace).await);
    changes(&scene, &folder, "grace@example.com");
    assert_eq!(adas.until_closed().await, POLICY_VIOLATION);
    assert_eq!(scene.sends("GET", "/", &format!("{HANDSHAKE}{ada}")).await.status, 403);
    changes(&scene, &folder, "grace@example.com\nben@example.com");
    graces.send(HI).await;
    assert_eq!(graces.exactly(HI.len()).await.unwrap(), HI);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_time_and_max_age_do_not_close_what_is_open_when_a_list_changes_for_somebody_else() {
    let toml = "route.app.allow.emails = LIST\nroute.app.max_age = '10m'\nprovider.idp.max_age = '10m'\nsession.idle_timeout = '30m'";
    let (scene, folder) = scene("ada@example.com", toml).await;
    let ada = scene.session_of("Ada").await;
    scene.upstream.answers(SWITCH);
    let mut open = opened(&scene, &ada).await;
    scene.later(3600);
    changes(&scene, &folder, "ada@example.com\ngrace@example.com");
    open.send(HI).await;
    assert_eq!(open.exactly(HI.len()).await.unwrap(), HI);
    assert_eq!(scene.sends("GET", "/", &format!("{HANDSHAKE}{ada}")).await.status, 401, "nothing new is begun");
    changes(&scene, &folder, "grace@example.com");
    assert_eq!(open.until_closed().await, POLICY_VIOLATION);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_websockets_are_judged_again_by_what_a_reload_brings() {
    let mut scene = Scene::signed_in_with("").await;
    let ada = scene.session_of("Ada").await;
    scene.upstream.answers(SWITCH);
    let mut open = opened(&scene, &ada).await;
    for allowed in [
        "pages.title = 'Wiki'",
        "route.app.allow.users = ['248289761001']",
        "session.keys = ['KEY', 'OLD']",
        "route.other = { path = '/socket', upstream = 'static:204', allow.emails = 'ada@example.com' }",
    ] {
        scene.gateway.reload_with(&keyed(allowed));
        open.send(HI).await;
        assert_eq!(open.exactly(HI.len()).await.unwrap(), HI, "{allowed}");
    }
    for refused in [
        "route.other.allow.emails = 'grace@example.com'",
        "route.other = { access = 'deny' }",
        "route.other = { access = 'login', host = 'elsewhere.example', allow.emails = 'ada@example.com' }\nroute.app.allow.users = ['x']",
        "session.keys = ['KEY']",
        "provider.idp.client_id = 'another'",
    ] {
        let mut again = Scene::signed_in_with("").await;
        let ada = again.session_of("Ada").await;
        again.upstream.answers(SWITCH);
        again.gateway.reload_with(
            "route.other = { path = '/socket', upstream = 'UPSTREAM' }"
                .replace("UPSTREAM", &again.upstream.url())
                .as_str(),
        );
        let mut open = opened(&again, &ada).await;
        again.gateway.reload_with(&keyed(refused));
        assert_eq!(open.until_closed().await, POLICY_VIOLATION, "{refused}");
    }
}

/// With a new session key and that of the harness.
fn keyed(toml: &str) -> String {
    use crate::harness::gateway::key;
    toml.replace("KEY", &key(9)).replace("OLD", &key(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frame_that_is_on_its_way_comes_to_its_end_before_the_close() {
    let (stage, folder) = (Stage::start().await, TempDir::new().unwrap());
    let list = folder.path().join("list");
    writes(&list, "ada@example.com");
    let toml = format!(
        "[route.stage]\npath = '/stage'\nupstream = '{}'\nallow.emails = {{ file = '{}' }}",
        stage.url(),
        list.display()
    );
    let scene = Scene::with(&toml).await;
    let ada = scene.session_of("Ada").await;
    let mut client = scene.raw().await;
    client.send(scene.request("GET", "/stage", &format!("{HANDSHAKE}{ada}"))).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send(SWITCH).await;
    assert_eq!(client.answer("GET").await.status, 101);
    application.send([0x82, 4, b'h', b'a']).await;
    assert_eq!(client.exactly(4).await.unwrap(), [0x82, 4, b'h', b'a']);
    writes(&list, "grace@example.com");
    assert_eq!(scene.gateway.looks_at_followed().len(), 1);
    application.send([b'l', b'f', 0x81, 2, b'n', b'o']).await;
    let end = client.until_closed().await;
    // The next frame may have passed before the tunnel heard of it; none is ever cut.
    let ends =
        [&[b'l', b'f'][..], &[b'l', b'f', 0x81, 2, b'n', b'o']].map(|frames| [frames, &POLICY_VIOLATION].concat());
    assert!(ends.contains(&end), "{end:?}");
    assert!(application.until_closed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_of_somebody_who_is_taken_off_the_list_ends() {
    let (stage, folder) = (Stage::start().await, TempDir::new().unwrap());
    let list = folder.path().join("list");
    writes(&list, "ada@example.com");
    let toml = format!(
        "[route.stage]\npath = '/stage'\nupstream = '{}'\nallow.emails = {{ file = '{}' }}",
        stage.url(),
        list.display()
    );
    let scene = Scene::with(&toml).await;
    let ada = scene.session_of("Ada").await;
    let mut client = scene.raw().await;
    client.send(scene.request("GET", "/stage", &ada)).await;
    let mut application = stage.connection().await;
    application.head().await;
    let events =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    application.send(events).await;
    client.head().await;
    assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
    writes(&list, "grace@example.com");
    assert_eq!(scene.gateway.looks_at_followed().len(), 1);
    assert_eq!(client.chunk().await.unwrap(), b"");
    assert!(application.is_closed().await);
}

/// A list as the kubelet mounts it: a link into a folder that is replaced whole.
fn swap(folder: &Path, version: &str, list: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("networks"), list).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_follows_a_list_within_ten_seconds_and_without_a_reload() {
    let folder = TempDir::new().unwrap();
    swap(folder.path(), "..1", "ada@example.com");
    symlink("..data/networks", folder.path().join("people.txt")).unwrap();
    let text = config("static:204").replace("access = 'public'", "allow.emails = { file = 'people.txt' }");
    fs::write(folder.path().join("vestibule.toml"), text).unwrap();

    let (code, shown, _) = Program::ended(&["show", "--effective", "-c", "vestibule.toml"], &folder);
    assert_eq!(code, 0);
    assert!(shown.contains("emails = { file = \"people.txt\" }") && !shown.contains("ada@"), "{shown}");
    let (_, checked, _) = Program::ended(&["check", "--offline", "-c", "vestibule.toml"], &folder);
    assert!(checked.contains("ok   route.app.allow.emails: people.txt holds 1 entry"), "{checked}");

    let program = Program::running_in(folder, &[]).await;
    let began = Instant::now();
    swap(program.folder.path(), "..2", "ada@example.com\ngrace@example.com");
    let told = program.wrote("config.followed").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(told.contains("2 entries") && told.contains("route.app.allow.emails"), "{told}");
    swap(program.folder.path(), "..3", "nobody");
    let told = program.wrote("followed_file_refused").await;
    assert!(told.contains("\"ERROR\"") && told.contains("line 1 holds"), "{told}");
    assert!(!program.errors().iter().any(|line| line.contains("the new configuration is in force")), "no reload");
    let metrics = Raw::once(program.admin().await, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.text();
    assert!(metrics.contains("\nvestibule_followed_file_current{name=\"route.app.allow.emails\"} 0\n"), "{metrics}");

    for (list, code) in [("", "VB-0021"), ("nobody", "VB-0056")] {
        writes(&program.path("people.txt"), list);
        let (exit, _, why) = Program::ended(&["run", "-c", "vestibule.toml"], &program.folder);
        assert!(exit == 78 && why.contains(code) && why.contains("people.txt"), "{exit} {why}");
    }
    fs::remove_file(program.path("people.txt")).unwrap();
    let (exit, _, why) = Program::ended(&["check", "--offline", "-c", "vestibule.toml"], &program.folder);
    assert!(exit == 78 && why.contains("VB-0016"), "{exit} {why}");
}

/// A close frame with the status 1008.
const POLICY_VIOLATION: [u8; 4] = [0x88, 2, 0x03, 0xf0];
