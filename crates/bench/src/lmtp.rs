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

/// Delivers a message to one user.
pub(crate) fn deliver(conn: &mut Conn, user: &str, text: &[u8]) -> io::Result<()> {
    envelope(conn, user)?;
    data(conn, text)?;
    delivered(conn)
}

/// Says from whom and to whom, in one write.
pub(crate) fn envelope(conn: &mut Conn, user: &str) -> io::Result<()> {
    let domain = if user.contains('@') { "" } else { "@localhost" };
    conn.queue(format!("MAIL FROM:<>\r\nRCPT TO:<{user}{domain}>\r\nDATA\r\n").as_bytes());
    conn.flush()
}

/// Reads the answers to that and sends the message. It has no line that begins with a dot.
pub(crate) fn data(conn: &mut Conn, text: &[u8]) -> io::Result<()> {
    reply(conn, b"250")?;
    reply(conn, b"250")?;
    reply(conn, b"354")?;
    conn.queue(text);
    conn.queue(b".\r\n");
    conn.flush()
}

/// Reads the answer to the message.
pub(crate) fn delivered(conn: &mut Conn) -> io::Result<()> {
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
