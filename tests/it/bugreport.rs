//! `vestibule bugreport` by the real program, beside a gateway that runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::gateway::key;
use crate::harness::idp::CLIENT_SECRET;
use crate::harness::{Program, RecordingUpstream, TestIdp};
use crate::program::config;

#[tokio::test(flavor = "multi_thread")]
async fn a_report_holds_what_helps_and_no_secret() {
    // AT-CL-08
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let text = config(&upstream.url()).replace("http://127.0.0.1:9", idp.issuer());
    let program = Program::running(&text).await;
    fs::write(program.path("session_key"), key(2)).unwrap();
    program.configure(&text.replace(&format!("'{}'", key(1)), &format!("'{}', {{ file = 'session_key' }}", key(1))));
    let admin = format!("admin.listen={}", program.admin().await);
    let arguments = ["bugreport", "--set", &admin, "-o", "report.txt"];
    let ended = || tokio::task::block_in_place(|| Program::ended(&arguments, &program.folder));
    let (exit, said, errors) = ended();
    assert_eq!((exit, said.as_str()), (0, ""), "{errors}");
    assert_eq!(fs::metadata(program.path("report.txt")).unwrap().permissions().mode() & 0o777, 0o600);
    let report = fs::read_to_string(program.path("report.txt")).unwrap();
    for part in [
        concat!("version ", env!("CARGO_PKG_VERSION")),
        "open files ",
        "provider.idp.client_id = ",
        "# vestibule.toml:",
        "# --set admin.listen",
        "session.keys = [\"<redacted len=44 sha256:",
        "session_key\n",
        "VB-0015",
        "provider idp: discovery document",
        "authorization_endpoint http://",
        "[+]listeners ok",
        "vestibule_config_last_reload_successful",
    ] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    for secret in [key(1), key(2), CLIENT_SECRET.to_owned()] {
        assert!(!report.contains(&secret), "{report}");
    }
    // Not over one that is there.
    let (exit, _, errors) = ended();
    assert!(exit == 73 && errors.contains("report.txt"), "{exit} {errors}");

    // What is wrong stands in it.
    program.configure("[server\n");
    let broken = ["bugreport", "--offline", "--set", "admin.listen=127.0.0.1:9"];
    let (exit, said, _) = tokio::task::block_in_place(|| Program::ended(&broken, &program.folder));
    assert!(exit == 0 && said.contains("VB-0001") && said.contains("does not answer"), "{said}");
}
