//! Starts the real binary and talks to it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn restante() -> Command {
    Command::new(env!("CARGO_BIN_EXE_restante"))
}

/// A running server; killed when dropped.
pub struct Server {
    pub data: PathBuf,
    pub child: Child,
    pub imap: u16,
    pub imaps: u16,
    pub lmtp: u16,
    log: Receiver<String>,
}

impl Server {
    pub fn start(data: &Path) -> Server {
        Server::start_with(data, "")
    }

    /// Starts with more settings than those that all tests have.
    pub fn start_with(data: &Path, settings: &str) -> Server {
        Server::start_by(restante(), data, settings)
    }

    /// Starts with a command that ends in the binary's own.
    pub fn start_by(mut command: Command, data: &Path, settings: &str) -> Server {
        // Cheap hashes: what is tested is the server.
        let config = data.with_extension("toml");
        let text =
            "[login]\nargon2_memory_kib = 8\nargon2_iterations = 1\n[log]\nformat = \"human\"\n";
        std::fs::write(&config, format!("{text}{settings}")).unwrap();
        let any = "127.0.0.1:0";
        let mut child = command
            .args(["serve", "--imap", any, "--imaps", any, "--lmtp", any])
            .args([
                "--config".as_ref(),
                config.as_os_str(),
                "--data".as_ref(),
                data.as_os_str(),
            ])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("server: {line}");
                let _ = sender.send(line);
            }
        });
        let mut server = Server {
            data: data.to_owned(),
            child,
            imap: 0,
            imaps: 0,
            lmtp: 0,
            log,
        };
        loop {
            let line = server.log_line();
            let port = || {
                let address = line.split("address=").nth(1).expect("an address");
                let port = address.rsplit(':').next().expect("a port");
                port.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
                    .parse()
                    .unwrap()
            };
            if line.contains("listening for IMAP over TLS") {
                server.imaps = port();
            } else if line.contains("listening for IMAP") {
                server.imap = port();
            } else if line.contains("listening for LMTP") {
                server.lmtp = port();
            } else if line.contains(" ready ") {
                return server;
            }
        }
    }

    pub fn log_line(&self) -> String {
        self.log.recv_timeout(PATIENCE).expect("a line in the log")
    }

    /// What was logged since it was last asked.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// The next line with this text; what comes before it is passed over.
    pub fn wait_for_log(&self, text: &str) -> String {
        loop {
            let line = self.log_line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Runs a command on the server's data.
    pub fn command(&self, args: &[&str], input: &str) -> Output {
        command(&self.data, args, input)
    }

    pub fn add_user(&self, name: &str, password: &str) {
        let output = self.command(&["user", "add", name, "--password-stdin"], password);
        assert!(output.status.success(), "{output:?}");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end; whether it was a success.
    pub fn wait(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not end");
    }

    pub fn imaps(&self) -> Client {
        let tls = tls(tcp(self.imaps), &self.data, "localhost");
        Client::new(Box::new(tls))
    }

    pub fn plain(&self) -> Client {
        Client::new(Box::new(tcp(self.imap)))
    }

    pub fn lmtp(&self) -> Client {
        Client::new(Box::new(tcp(self.lmtp)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until it is so.
pub fn eventually(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not become so");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command on a data directory.
pub fn command(data: &Path, args: &[&str], input: &str) -> Output {
    let config = data.with_extension("toml");
    let mut command = restante();
    command.args(args).arg("--data").arg(data);
    if config.exists() {
        command.arg("--config").arg(config);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments ends without reading what it was given.
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    child.wait_with_output().unwrap()
}

pub fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// TLS as a client that trusts the self-signed certificate and nothing else.
pub fn tls(stream: TcpStream, data: &Path, name: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(data.join("tls/cert.pem")).unwrap();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config =
        ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, stream)
}

pub trait Io: Read + Write + Send {}
impl<T: Read + Write + Send> Io for T {}

/// A client that sends lines and reads lines.
pub struct Client(BufReader<Box<dyn Io>>);

impl Client {
    pub fn new(stream: Box<dyn Io>) -> Client {
        Client(BufReader::new(stream))
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
        self.0.get_mut().flush().unwrap();
    }

    /// The next line without its end; empty at the end of the connection.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let _ = self.0.read_until(b'\n', &mut line);
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    pub fn expect(&mut self, prefix: &str) -> String {
        let line = self.line();
        assert!(
            line.starts_with(prefix),
            "{line:?} where {prefix:?} was expected"
        );
        line
    }

    /// Sends an IMAP command; the lines up to its tagged answer, which is the last.
    pub fn command(&mut self, command: &str) -> Vec<String> {
        self.send(format!("x {command}\r\n").as_bytes());
        self.answer("x ")
    }

    /// The lines up to the one with this prefix.
    pub fn answer(&mut self, prefix: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            assert!(
                !line.is_empty() || lines.len() < 1000,
                "connection closed after {lines:?}"
            );
            let last = line.starts_with(prefix);
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    pub fn ok(&mut self, command: &str) -> Vec<String> {
        let lines = self.command(command);
        assert!(
            lines.last().unwrap().starts_with("x OK"),
            "{command}: {lines:?}"
        );
        lines
    }

    /// Logs out and waits for the end of the connection.
    pub fn answer_logout(&mut self) {
        self.send(b"x LOGOUT\r\n");
        while !self.line().is_empty() {}
    }

    /// Delivers a message by LMTP on a new connection.
    pub fn deliver(&mut self, to: &str, message: &str) {
        self.expect("220 ");
        self.send(b"LHLO test\r\n");
        while self.line().starts_with("250-") {}
        self.send(format!("MAIL FROM:<a@b>\r\nRCPT TO:<{to}>\r\nDATA\r\n").as_bytes());
        self.expect("250 2.1.0");
        self.expect("250 2.1.5");
        self.expect("354");
        self.send(format!("{message}\r\n.\r\nQUIT\r\n").as_bytes());
        self.expect("250 2.0.0");
        self.expect("221");
    }
}
