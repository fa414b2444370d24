//! Delivery by LMTP (RFC 2033), with PIPELINING.

use std::io;

use crate::conn::{Conn, unexpected};

/// Connects and says LHLO.
pub(crate) fn open(address: &str) -> io::Result<Conn> {
    let mut conn = Conn::open(address, false, 4096)?;
    reply(&mut conn, b"220")?;
    conn.queue(b"LHLO bench.example.org\r\n");
    conn.flush()?;
    reply(&mut conn, b"250")?;
    Ok(conn)
}

/// Delivers a message to one user. It has no line that begins with a dot.
pub(crate) fn deliver(conn: &mut Conn, user: &str, text: &[u8]) -> io::Result<()> {
    let domain = if user.contains('@') { "" } else { "@localhost" };
    conn.queue(format!("MAIL FROM:<>\r\nRCPT TO:<{user}{domain}>\r\nDATA\r\n").as_bytes());
    conn.flush()?;
    reply(conn, b"250")?;
    reply(conn, b"250")?;
    reply(conn, b"354")?;
    conn.queue(text);
    conn.queue(b".\r\n");
    conn.flush()?;
    reply(conn, b"250")
}

/// Reads a reply of one or more lines with this code.
fn reply(conn: &mut Conn, code: &[u8]) -> io::Result<()> {
    loop {
        let line = conn.line()?;
        if !line.starts_with(code) {
            return Err(unexpected(&String::from_utf8_lossy(code), &line));
        }
        if line.get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
