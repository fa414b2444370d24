//! The control socket: how commands reach a running server.
//!
//! `DATA/control.sock`, mode 0600: whoever may write to it may do everything with the server. One
//! JSON object a line, a request and its reply, as defined in [`crate::admin`].

mod client;
mod server;

pub use client::{Admin, AdminError};
pub(crate) use server::listen;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The name of the socket in the data directory.
const SOCKET: &str = "control.sock";

/// The longest request or reply, in bytes.
const LINE_BYTES_MAX: usize = 16 << 20;

/// A path to the socket that is short enough for the kernel (108 bytes), however long the data
/// directory's is. Valid as long as the returned directory is open.
fn socket_path(data: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = data.join(SOCKET);
    if path.as_os_str().len() < 100 {
        return Ok((path, None));
    }
    let dir = File::open(data)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
    Ok((short, Some(dir)))
}
