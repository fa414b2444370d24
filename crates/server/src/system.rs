//! The process and its surroundings: systemd, file descriptors, signals.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells systemd how the service is (sd_notify(3)), if it asked.
pub(crate) fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let send = || -> io::Result<()> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
        };
        UnixDatagram::unbound()?
            .send_to_addr(state.as_bytes(), &address)
            .map(drop)
    };
    if let Err(error) = send() {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

/// Raises the number of files and sockets that may be open to what the system allows.
pub(crate) fn raise_file_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls read or write the one struct that the pointer is to, and keep nothing.
    #[allow(unsafe_code, reason = "the standard library has no call for it")]
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Passwords and mail stay in this process: no core is written when it ends badly, and what it writes is
/// for its own user.
pub(crate) fn keep_to_itself() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the first reads the one struct that the pointer is to, the second passes a number.
    #[allow(unsafe_code, reason = "the standard library has no call for it")]
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::umask(0o077);
    }
}

/// Keeps blocks of a megabyte and more apart from small ones, so that they go back to the system when
/// they are freed.
///
/// glibc raises that threshold by itself when such a block is freed; the 19 MiB of each password check
/// then leave holes in the heap: 24 KiB a connection instead of 3, measured with 10,000.
pub(crate) fn give_back_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number in the allocator; no pointer is passed.
    #[allow(unsafe_code, reason = "the standard library has no call for it")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Gets the calling thread address space for its heap.
///
/// glibc makes the heap of a thread that is not the first one usable page by page, with a system call for each:
/// more than a hundred while the first mailbox is read. What was usable once stays so when it is freed, and
/// takes no memory until it is written to.
pub(crate) fn reserve_heap() {
    #[cfg(target_env = "gnu")]
    {
        // Just too small for maps of their own.
        const BLOCK_BYTES: usize = (1 << 20) - (8 << 10);
        const BLOCKS: usize = 8;
        let blocks = [(); BLOCKS].map(|()| Vec::<u8>::with_capacity(BLOCK_BYTES));
        // Otherwise the compiler sees that nobody uses them.
        drop(std::hint::black_box(blocks));
    }
}
