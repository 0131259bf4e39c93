//! The binary `spanway` as a process of its own, which may be killed.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use tokio::process::{Child, Command};

use crate::wire::WAIT;

/// Where the admin pages are, on the address of the cluster.
const ADMIN_PORT: u16 = 15_000;

/// A running process. Its drop kills it.
#[derive(Debug)]
pub struct Process(Child);

/// The binary, built like the tests that run it.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test is a file");
        let folder = test.ancestors().nth(2).expect("tests lie in <target>/<profile>/deps");
        let profile = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let target = folder.parent().expect("tests lie in <target>/<profile>/deps");
        let mut cargo = std::process::Command::new(env!("CARGO"));
        // Both packages, so that dependencies have the features that they have in the tests.
        cargo.args(["build", "--quiet", "--package", "spanway", "--package", "spanway-tests"]);
        cargo.args(["--bin", "spanway", "--target-dir"]).arg(target);
        cargo.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
        // What cargo tells a test of itself is not meant for the cargo that the test calls: builds
        // depend on it.
        let told = |name: &std::ffi::OsString| {
            name != "CARGO_HOME" && name.to_string_lossy().starts_with("CARGO")
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| told(name)) {
            cargo.env_remove(name);
        }
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().expect("cargo runs").success(), "the binary is built");
        folder.join("spanway")
    })
}

impl Process {
    /// A cluster at `address` over the directory `folder`, as [`super::cluster`] has them in this
    /// process.
    pub fn cluster(name: &str, address: IpAddr, folder: &Path) -> Self {
        let folder_name = folder.to_str().expect("a folder of ours");
        let (domain, instance) = (format!("{name}.test"), format!("{name}-instance"));
        let (address, token) = (address.to_string(), format!("{folder_name}/token"));
        let (admin, control) = (format!("{address}:{ADMIN_PORT}"), format!("{address}:15012"));
        let arguments = [
            ["--dir", folder_name],
            ["--cluster", name],
            ["--trust-domain", &domain],
            ["--pod-uid", &instance],
            ["--pod-ips", &address],
            ["--listen", &address],
            ["--admin", &admin],
            ["--control-listen", &control],
            ["--control-advertise", &control],
            ["--token", &token],
            ["--workers", "1"],
        ];
        let mut command = Command::new(binary());
        command.arg("run").args(arguments.into_iter().flatten()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().expect("the binary runs"))
    }

    /// Whether the cluster at `address` says that it is ready.
    pub fn is_ready(address: IpAddr) -> bool {
        let asked = || -> std::io::Result<String> {
            let mut admin = TcpStream::connect((address, ADMIN_PORT))?;
            admin.set_read_timeout(Some(WAIT))?;
            admin.write_all(
                b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            )?;
            let mut answer = String::new();
            admin.read_to_string(&mut answer)?;
            Ok(answer)
        };
        asked().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    }

    /// Kills it without a word (SIGKILL), and waits until it is gone.
    pub async fn kill(mut self) {
        self.0.kill().await.expect("it ran");
    }
}
