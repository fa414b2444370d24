//! The little that the engine asks of files and directories, in one place so that tests can make it
//! fail.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::error::OpenError;

/// What a test makes fail.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// A write to the log or to a large blob.
    Write,
    /// A sync of a file.
    Sync,
    /// The allocation of a segment.
    Allocate,
    /// Cutting a file.
    Truncate,
}

/// How it fails.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// An I/O error; nothing was done.
    Eio,
    /// No space; so many bytes were written before.
    Enospc(usize),
}

/// Faults for tests: which call fails, and how.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct DiskFaults(Arc<Mutex<Vec<Planned>>>);

/// Which call, how many more of it succeed, how many fail then, and how.
type Planned = (DiskCall, u32, u32, DiskFault);

impl DiskFaults {
    /// The calls of this kind fail, after `after` more that succeed, `times` times.
    pub fn inject(&self, call: DiskCall, after: u32, times: u32, fault: DiskFault) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((call, after, times, fault));
    }

    /// Nothing fails any more.
    pub fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn check(&self, asked: DiskCall) -> Option<DiskFault> {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (call, after, times, fault) in plan.iter_mut() {
            if *call == asked && *times > 0 {
                if *after > 0 {
                    *after -= 1;
                } else {
                    *times -= 1;
                    return Some(*fault);
                }
            }
        }
        None
    }
}

/// The disk, with or without faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    faults: Option<DiskFaults>,
}

impl Disk {
    pub(crate) fn new(faults: Option<DiskFaults>) -> Self {
        Self { faults }
    }

    fn fault(&self, call: DiskCall) -> Option<DiskFault> {
        self.faults.as_ref()?.check(call)
    }

    fn fail(&self, call: DiskCall) -> io::Result<()> {
        match self.fault(call) {
            None => Ok(()),
            Some(DiskFault::Eio) => Err(io::Error::from_raw_os_error(5)),
            Some(DiskFault::Enospc(_)) => Err(io::Error::from_raw_os_error(28)),
        }
    }

    pub(crate) fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some(fault) = self.fault(DiskCall::Write) {
            return match fault {
                DiskFault::Eio => Err(io::Error::from_raw_os_error(5)),
                DiskFault::Enospc(written) => {
                    file.write_all_at(&bytes[..written.min(bytes.len())], offset)?;
                    Err(io::Error::from_raw_os_error(28))
                }
            };
        }
        file.write_all_at(bytes, offset)
    }

    pub(crate) fn sync_data(&self, file: &File) -> io::Result<()> {
        self.fail(DiskCall::Sync)?;
        file.sync_data()
    }

    pub(crate) fn sync_all(&self, file: &File) -> io::Result<()> {
        self.fail(DiskCall::Sync)?;
        file.sync_all()
    }

    pub(crate) fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.fail(DiskCall::Truncate)?;
        file.set_len(length)
    }

    /// Makes a file `length` bytes long, with the space allocated if the file system can.
    pub(crate) fn allocate(&self, file: &File, length: u64) -> io::Result<()> {
        self.fail(DiskCall::Allocate)?;
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(length),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates a directory if it is not there, and makes its entry durable.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes a small file whole: under another name, synced, renamed, its directory synced.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Whether an error says that there is no space (or quota) left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The bytes that an unprivileged process may still take on the file system of `path`.
fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// How much space is left: asked now and then, and counted down between.
#[derive(Debug, Default)]
pub(crate) struct Space(Mutex<Option<(Instant, u64)>>);

impl Space {
    /// How long the file system's word lasts.
    const INTERVAL: Duration = Duration::from_millis(200);

    /// The bytes that are left, about.
    pub(crate) fn free(&self, dir: &Path) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            Some((when, free)) if when.elapsed() < Self::INTERVAL => free,
            _ => {
                let free = free_bytes(dir).unwrap_or(u64::MAX);
                *state = Some((Instant::now(), free));
                free
            }
        }
    }

    /// So much has been, or will be, taken.
    pub(crate) fn spend(&self, bytes: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, free)) = &mut *state {
            *free = free.saturating_sub(bytes);
        }
    }

    /// The next question goes to the file system.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Takes the lock that only one process can have. The file is never renamed or removed.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let io_error = |source| OpenError::Io {
        what: "cannot open the lock file".into(),
        source,
    };
    let path = dir.join("LOCK");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let file = file.map_err(io_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            dir: dir.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(io_error(source)),
    }
}

/// The kind of network file system that a directory is on, if it is.
pub(crate) fn network_file_system(dir: &Path) -> io::Result<Option<&'static str>> {
    // From statfs(2) and the kernel's magic.h.
    const KINDS: [(u64, &str); 9] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x5346_414f, "AFS"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "Ceph"),
        (0x7375_7245, "Coda"),
        (0x013f_bb16, "GlusterFS"),
    ];
    let kind = rustix::fs::statfs(dir)?.f_type as u64 & 0xffff_ffff;
    Ok(KINDS
        .iter()
        .find(|(magic, _)| *magic == kind)
        .map(|(_, name)| *name))
}
