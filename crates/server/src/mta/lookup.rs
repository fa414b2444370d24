//! Whether mail for somebody would be taken: Postfix's policy delegation
//! (<https://www.postfix.org/SMTPD_POLICY_README.html>) and its socketmap table
//! (<https://www.postfix.org/socketmap_table.5.html>).

use std::io;

use restante_mailbox::MailError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};

use super::Stream;
use super::lines::{Lines, invalid};
use crate::live::Current;
use crate::lmtp;

/// Attributes of one request.
const ATTRIBUTES_MAX: usize = 200;
/// The longest netstring that is read.
const NETSTRING_BYTES_MAX: usize = 10_000;

/// Answers requests of the policy protocol: unknown users of our domains and full mailboxes are refused
/// where Postfix can still refuse them, at RCPT.
pub(super) async fn policy(stream: Box<dyn Stream>, current: &Current) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    let (mut recipient, mut size) = (String::new(), 0);
    let mut attributes = 0;
    while let Some(line) = lines.next().await? {
        if !line.is_empty() {
            attributes += 1;
            if attributes > ATTRIBUTES_MAX {
                return Err(invalid("too many attributes"));
            }
            match line.split_once('=') {
                Some(("recipient", address)) => recipient = address.to_owned(),
                Some(("size", bytes)) => size = bytes.parse().unwrap_or(0),
                _ => {}
            }
            continue;
        }
        let action = match recipient.is_empty() {
            // At other stages there is nobody to ask for.
            true => "DUNNO".to_owned(),
            false => action(current, &recipient, size).await,
        };
        lines.write(&format!("action={action}\n\n")).await?;
        (recipient, size, attributes) = (String::new(), 0, 0);
    }
    Ok(())
}

async fn action(current: &Current, recipient: &str, size: u64) -> String {
    let env = current.live().lmtp;
    match lmtp::would_take(&env, recipient, size).await {
        Ok(_) => "DUNNO".to_owned(),
        // Of other domains we know nothing: Postfix relays, or has other tables.
        Err(MailError::NoSuchUser) if !lmtp::is_local(&env, recipient) => "DUNNO".to_owned(),
        Err(error) => {
            tracing::info!(%recipient, %error, "policy: mail would not be taken");
            lmtp::reply_to(&error)
        }
    }
}

/// Answers look-ups of the socketmap protocol: an address, or a user's name, that mail is taken for.
pub(super) async fn socketmap(stream: Box<dyn Stream>, current: &Current) -> io::Result<()> {
    let mut stream = BufStream::with_capacity(1 << 10, 1 << 10, stream);
    while let Some(request) = read_netstring(&mut stream).await? {
        let reply = match request.split_once(' ') {
            // The name of the map is the administrator's choice: there is only one.
            Some((_, key)) => {
                let env = current.live().lmtp;
                match lmtp::find(&env, key).await {
                    Ok(user) => format!("OK {user}"),
                    Err(MailError::NoSuchUser) => "NOTFOUND ".to_owned(),
                    Err(error) => {
                        tracing::warn!(key, %error, "socketmap: cannot be looked up");
                        "TEMP users cannot be looked up now".to_owned()
                    }
                }
            }
            None => "PERM a name and a key are wanted".to_owned(),
        };
        let reply = format!("{}:{reply},", reply.len());
        stream.write_all(reply.as_bytes()).await?;
        stream.flush().await?;
    }
    Ok(())
}

/// Reads `LENGTH:bytes,`; `None` at the end of the connection.
async fn read_netstring(stream: &mut BufStream<Box<dyn Stream>>) -> io::Result<Option<String>> {
    let mut length = 0usize;
    let mut digits = 0;
    loop {
        let byte = match stream.read_u8().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && digits == 0 => {
                return Ok(None);
            }
            byte => byte?,
        };
        match byte {
            b'0'..=b'9' if digits < 6 => {
                length = length * 10 + usize::from(byte - b'0');
                digits += 1;
            }
            b':' if digits > 0 => break,
            _ => return Err(invalid("no netstring")),
        }
    }
    if length > NETSTRING_BYTES_MAX {
        return Err(invalid("a netstring that is too long"));
    }
    let mut bytes = vec![0; length + 1];
    stream.read_exact(&mut bytes).await?;
    if bytes.pop() != Some(b',') {
        return Err(invalid("a netstring that does not end"));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| invalid("a key that is not UTF-8"))
}
