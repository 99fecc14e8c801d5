//! What keeps the program from starting: reported with key, place and help by `run`, and by `check` as far as it shows without a socket.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::program::HOST;
use crate::harness::{Program, Raw};
use crate::program::config;

/// A certificate with a key of a kind that is read and cannot be used for a client certificate here.
const NO_CLIENT_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[test]
fn what_run_refuses_is_told_with_key_and_place_and_check_refuses_it_too_where_it_can() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let _socket = UnixListener::bind(folder.path().join("taken.sock")).unwrap();
    fs::write(folder.path().join("file"), "kept").unwrap();
    fs::write(folder.path().join("broken.pem"), NO_CLIENT_CERTIFICATE).unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let listen = "listen = '127.0.0.1:0'\npublic_url";
    let traffic = |value: &str| config("static:204").replace(listen, &format!("listen = {value}\npublic_url"));
    let last = |lines: &str| format!("{}{lines}\n", config("static:204"));
    let port = taken.local_addr().unwrap().port();
    // What is written, the exits of run and check, the key, and the line that it stands on.
    for (text, run, check, key, line) in [
        (traffic(&format!("'127.0.0.1:{port}'")), 73, 0, "server.listen", 3),
        (traffic(&format!("['127.0.0.1:0',\n '127.0.0.1:{port}']")), 73, 0, "server.listen", 4),
        (traffic("'192.0.2.1:0'"), 73, 0, "server.listen", 3),
        (traffic("'systemd:web'"), 73, 0, "server.listen", 3),
        (traffic("'systemd:0'"), 73, 0, "server.listen", 3),
        (traffic(&format!("'unix:{}'", at("taken.sock"))), 73, 0, "server.listen", 3),
        (traffic(&format!("'unix:{}'", at("nowhere/s"))), 73, 78, "server.listen", 3),
        (traffic(&format!("'unix:{}'", at("file"))), 73, 78, "server.listen", 3),
        (traffic(&format!("'unix:{}'", at(&"x".repeat(120)))), 73, 78, "server.listen", 3),
        (
            config("static:204")
                .replace("[admin]\nlisten = '127.0.0.1:0'", &format!("[admin]\nlisten = '127.0.0.1:{port}'")),
            73,
            0,
            "admin.listen",
            10,
        ),
        (last("[log]\naccess = 'nowhere/a.log'"), 78, 78, "log.access", 24),
        (last("[log]\naudit = '.'"), 78, 78, "log.audit", 24),
        (last("[log]\naudit = 'file/a.log'"), 78, 78, "log.audit", 24),
        (last("[log]\nlevel = 'info,vestibule[=debug'"), 78, 78, "log.level", 24),
        (
            config("https://127.0.0.1:1").replace("[route.app]", "[route.app]\ntls.ca = 'broken.pem'"),
            78,
            78,
            "route.app",
            20,
        ),
        (
            config("static:204").replace("[provider.idp]", "[provider.idp]\nca = 'broken.pem'"),
            78,
            78,
            "provider.idp",
            15,
        ),
    ] {
        fs::write(folder.path().join("vestibule.toml"), &text).unwrap();
        for (arguments, exit) in [(&["run"] as &[&str], run), (&["check", "--offline"], check)] {
            let (code, said, errors) = Program::ended(arguments, &folder);
            assert_eq!(code, exit, "{arguments:?} {key}: {said}{errors}");
            if exit != 0 {
                let place = format!("vestibule.toml:{line}:");
                assert!(errors.contains(key) && errors.contains(&place), "{arguments:?} {key} {place}: {errors}");
                assert!(errors.contains("= help: ") && errors.contains(&format!("\n{line} |")), "{errors}");
            }
        }
    }
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_files_are_in_the_configurations_folder_wherever_the_program_is_started() {
    for name in ["access.log", "./access.log", "access"] {
        let (home, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let text = format!("{}[log]\naccess = '{name}'\n", config("static:204"));
        fs::write(home.path().join("vestibule.toml"), text).unwrap();
        let file = home.path().join("vestibule.toml");
        let (code, _, errors) = Program::ended(&["check", "--offline", "-c", file.to_str().unwrap()], &elsewhere);
        assert_eq!(code, 0, "{errors}");
        assert!(!home.path().join(name).exists(), "check makes nothing");
        let mut command = Program::command();
        command.args(["run", "-c"]).arg(&file);
        let mut program = Program::started(command, elsewhere);
        assert_eq!(program.status("/").await, 204);
        program.signals("TERM");
        assert_eq!(program.exit().await, 0);
        assert!(fs::read_to_string(home.path().join(name)).unwrap().contains("\"status\":204"));
        assert_eq!(fs::read_dir(program.folder.path()).unwrap().count(), 0, "nothing where it was started");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_name_is_taken_by_its_number() {
    for names in ["", "LISTEN_FDNAMES=vestibule.socket", "LISTEN_FDNAMES="] {
        let folder = TempDir::new().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let text = config("static:204").replacen("'127.0.0.1:0'", "'systemd:0'", 1);
        fs::write(folder.path().join("vestibule.toml"), text).unwrap();
        let script = format!("exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 {names} exec \"$0\" run");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_vestibule")]).stdin(OwnedFd::from(socket));
        let mut program = Program::started(command, folder);
        assert_eq!(program.address().await, address);
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
        assert_eq!(Raw::once(address, request).await.status, 204);
        program.signals("TERM");
        assert_eq!(program.exit().await, 0);
    }
}
