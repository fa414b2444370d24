//! What the process gives up before it reads the first byte of a client: files that are not its own
//! (Landlock), and system calls that no mail server makes (seccomp).
//!
//! Both are entered by the only thread that there is, and hold for those that it starts. Both are for what
//! an attacker could do who runs code in this process; nothing else should notice them. A kernel that has
//! neither is no reason not to serve. A helper process that may do more has to be started before.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

use crate::config::{Config, Sandbox};

/// The newest Landlock that this was tested with.
const LANDLOCK: ABI = ABI::V6;

/// What the C library reads to find addresses, and where it is itself; trusted certificates; how many
/// processors there are to use.
const SYSTEM_FILES: [&str; 18] = [
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/proc/sys/kernel/hostname",
    "/proc/self",
    "/sys/fs/cgroup",
];

/// Devices.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/urandom", "/dev/random"];

/// What a process may still reach.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Allowed {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
}

impl Allowed {
    /// `file` is the configuration file: a reload reads it.
    fn of(file: &Path, config: &Config) -> Allowed {
        let mut read: BTreeSet<PathBuf> = SYSTEM_FILES.map(PathBuf::from).into();
        let named = config.files().into_iter().map(|(_, path)| path);
        read.extend(named.chain([file.to_owned()]).flat_map(around));
        let mut write: BTreeSet<PathBuf> = config.service.writable.iter().cloned().collect();
        write.insert(config.data_dir());
        write.extend(DEVICES.map(PathBuf::from));
        Allowed { read, write }
    }
}

/// The directory of a file, and that of what it is a link to: a renewed certificate is another file, and
/// certbot's are links. The file alone, where its directory is too much to give.
fn around(file: PathBuf) -> Vec<PathBuf> {
    let file = std::path::absolute(&file).unwrap_or(file);
    let target = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
    let dir = |path: &Path| match path.parent() {
        Some(dir)
            if !["/", "/etc", "/home", "/root", "/tmp"]
                .map(Path::new)
                .contains(&dir) =>
        {
            dir.to_owned()
        }
        _ => path.to_owned(),
    };
    vec![dir(&file), dir(&target)]
}

/// Gives up what the configuration does not call for, and says so in the log. `file` is the configuration
/// file.
pub(crate) fn enter(file: &Path, config: &Config) {
    if config.service.sandbox == Sandbox::Off {
        tracing::info!("no sandbox: service.sandbox is off");
        return;
    }
    let files = match landlock(&Allowed::of(file, config)) {
        Ok(what) => what,
        Err(error) => {
            tracing::warn!(%error, "the process keeps seeing all files that its user can: no Landlock");
            "not confined".to_owned()
        }
    };
    let calls = match seccomp() {
        Ok(count) => format!("{count} refused"),
        Err(error) => {
            tracing::warn!(%error, "the process may make all system calls: no seccomp");
            "not confined".to_owned()
        }
    };
    tracing::info!(%files, system_calls = %calls, "sandbox");
}

fn landlock(allowed: &Allowed) -> Result<String, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = AccessFs::from_all(LANDLOCK);
    let mut ruleset = Ruleset::default()
        // Without it, files cannot be moved between directories at all: that is worse than no sandbox.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        // All that is listened on is bound by now.
        .handle_access(AccessNet::BindTcp)?
        .create()?
        .add_rules(path_beneath_rules(&allowed.read, read))?;
    for path in &allowed.write {
        // One that is missing can be named, and made later.
        if let Ok(fd) = PathFd::new(path) {
            let access = match path.is_dir() {
                true => all & !AccessFs::Execute,
                false => AccessFs::ReadFile | AccessFs::WriteFile,
            };
            ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    let status = ruleset.restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("{effective_abi:?}"),
        LandlockStatus::NotEnabled => "not enabled in the kernel".to_owned(),
        LandlockStatus::NotImplemented => "not in the kernel".to_owned(),
    };
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => format!("not confined: Landlock {abi}"),
        RulesetStatus::PartiallyEnforced => format!("confined in part: Landlock {abi}"),
        RulesetStatus::FullyEnforced => format!("confined: Landlock {abi}"),
    })
}

#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: libc::c_long = 294;
#[cfg(not(target_arch = "aarch64"))]
const KEXEC_FILE_LOAD: libc::c_long = libc::SYS_kexec_file_load;

/// System calls that are refused, whatever they are asked: other programs and processes, the kernel and
/// the machine, other views of the file system, other users, and large interfaces that are not used here.
const REFUSED: [libc::c_long; 71] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_syslog,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_remap_file_pages,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_mknodat,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_memfd_secret,
];

/// Refuses system calls from now on, for this thread and those that it starts. Returns how many.
fn seccomp() -> Result<usize, seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut rules = refused_by_argument()?;
    rules.extend(REFUSED.map(|call| (call, Vec::new())));
    let count = rules.len();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?;
    apply(&filter.try_into()?, true)?;
    #[cfg(target_arch = "x86_64")]
    apply(&numbers_of_x32(), true)?;
    // C libraries ask for it with every thread.
    apply(&no_clone3(), false)?;
    Ok(count)
}

/// Puts a filter on this thread and those that it starts. What is refused by a filter that is `told` of stands
/// in the kernel's log or in that of auditd: by the error alone nobody would find out.
#[allow(
    unsafe_code,
    reason = "the library has no function for filters whose refusals are logged"
)]
fn apply(program: &BpfProgram, told: bool) -> Result<(), seccompiler::Error> {
    let last = io::Error::last_os_error;
    // SAFETY: this option takes numbers alone.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(seccompiler::Error::Prctl(last()));
    }
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| seccompiler::Error::EmptyFilter)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    let load = |flags: libc::c_ulong| {
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: `filter` says how many instructions `program` has, which lives through the call; both
        // types are the kernel's `struct sock_filter` (#[repr(C)]). The kernel copies them and writes nothing.
        match unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const filter) } {
            0 => Ok(()),
            _ => Err(last()),
        }
    };
    let loaded = match told {
        // Kernels before 4.14 do not know the flag.
        true => load(libc::SECCOMP_FILTER_FLAG_LOG).or_else(|_| load(0)),
        false => load(0),
    };
    loaded.map_err(seccompiler::Error::Seccomp)
}

/// System calls that are refused for some of what they can be asked.
fn refused_by_argument() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let when = |argument, op, value: u64| SeccompCondition::new(argument, Length::Dword, op, value);
    let has = |argument, bits: u64| when(argument, Op::MaskedEq(bits), bits);
    let any = |conditions: Vec<SeccompCondition>| {
        let one = |condition| SeccompRule::new(vec![condition]);
        conditions
            .into_iter()
            .map(one)
            .collect::<Result<Vec<_>, _>>()
    };
    // New namespaces: where the most flaws of kernels can be reached from.
    let namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let namespaces = namespaces.map(|flag| has(0, flag as u64));
    // Netlink is how the C library learns which kinds of addresses there are.
    let families = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let other_families = families.map(|family| when(0, Op::Ne, family as u64));
    let other_families: Vec<_> = other_families.into_iter().collect::<Result<_, _>>()?;
    let (write, execute) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
    // Typing for who looks at the terminal.
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| when(1, Op::Eq, request));
    let executable = any(vec![has(2, execute)?])?;
    Ok(BTreeMap::from([
        (
            libc::SYS_clone,
            any(namespaces.into_iter().collect::<Result<_, _>>()?)?,
        ),
        (libc::SYS_socket, vec![SeccompRule::new(other_families)?]),
        (
            libc::SYS_ioctl,
            any(terminal.into_iter().collect::<Result<_, _>>()?)?,
        ),
        // Memory is code or data, and does not turn from one into the other.
        (libc::SYS_mmap, any(vec![has(2, write | execute)?])?),
        (libc::SYS_mprotect, executable.clone()),
        (libc::SYS_pkey_mprotect, executable),
    ]))
}

/// clone3 keeps its flags where a filter cannot see them, so there is none: C libraries then use clone.
fn no_clone3() -> BpfProgram {
    let jump = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    one_test(jump, libc::SYS_clone3 as u32, libc::ENOSYS)
}

/// x86-64 has every call a second time, above this bit.
#[cfg(target_arch = "x86_64")]
fn numbers_of_x32() -> BpfProgram {
    let jump = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    one_test(jump, 0x4000_0000, libc::EPERM)
}

/// Answers calls whose number passes a test with an error.
fn one_test(test: u32, value: u32, error: i32) -> BpfProgram {
    let instruction = |code: u32, jt, jf, k: u32| sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let answer = |value| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    vec![
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(test, 0, 1, value),
        answer(libc::SECCOMP_RET_ERRNO | error as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::ErrorKind;

    fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    /// Both confine threads: the test's own and those that it starts.
    fn confined(work: impl FnOnce() + Send + 'static) {
        std::thread::spawn(work).join().unwrap();
    }

    #[test]
    fn only_its_own_files_are_left() {
        let own = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let named = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data = own.path().to_owned();
        config.tls.certificate = named.path().join("certificate.pem");
        for dir in [&own, &other, &named] {
            fs::create_dir(dir.path().join("a")).unwrap();
            fs::create_dir(dir.path().join("b")).unwrap();
            fs::write(dir.path().join("x"), "x").unwrap();
        }
        let allowed = Allowed::of(Path::new("/nonexistent/restante.toml"), &config);
        confined(move || {
            let before = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let what = landlock(&allowed).unwrap();
            if !what.starts_with("confined") {
                eprintln!("{what}");
                return;
            }
            let denied = Some(ErrorKind::PermissionDenied);
            // The data directory: everything.
            fs::write(own.path().join("a/y"), "y").unwrap();
            fs::rename(own.path().join("a/y"), own.path().join("b/y")).unwrap();
            fs::hard_link(own.path().join("b/y"), own.path().join("a/z")).unwrap();
            fs::remove_file(own.path().join("b/y")).unwrap();
            std::os::unix::net::UnixListener::bind(own.path().join("socket")).unwrap();
            // What is named: a new file in its directory can be read, and nothing written.
            fs::read(named.path().join("x")).unwrap();
            assert_eq!(kind(fs::write(named.path().join("x"), "")), denied);
            // The rest: nothing.
            assert_eq!(kind(File::open(other.path().join("x"))), denied);
            assert_eq!(kind(fs::read_dir(other.path())), denied);
            assert_eq!(kind(File::create(other.path().join("y"))), denied);
            assert_eq!(kind(fs::read("/etc/passwd")), denied);
            assert_eq!(
                kind(fs::rename(own.path().join("x"), other.path().join("y"))),
                denied
            );
            // Addresses can be found, clients come in.
            fs::read("/etc/hosts").unwrap();
            let address = before.local_addr().unwrap();
            std::net::TcpStream::connect(address).unwrap();
            before.accept().unwrap();
            if what.contains("V6") {
                assert_eq!(kind(std::net::TcpListener::bind("127.0.0.1:0")), denied);
            }
        });
    }

    #[test]
    #[allow(
        unsafe_code,
        reason = "system calls that the library has no function for"
    )]
    fn what_no_mail_server_does_is_refused() {
        confined(|| {
            let count = seccomp().unwrap();
            assert!(count > REFUSED.len());
            let denied = Some(ErrorKind::PermissionDenied);
            let program = std::process::Command::new("/bin/true").status();
            assert_eq!(kind(program), denied);
            let raw = |call, a: u64, b: u64, c: u64| {
                // SAFETY: none of these calls is made with a pointer, and each is refused before it is
                // looked at; one that is not fails the test.
                match unsafe { libc::syscall(call, a, b, c, 0, 0, 0) } {
                    -1 => std::io::Error::last_os_error().raw_os_error(),
                    _ => None,
                }
            };
            for call in REFUSED {
                assert_eq!(raw(call, 0, 0, 0), Some(libc::EPERM), "{call}");
            }
            let socket = |family: i32| raw(libc::SYS_socket, family as u64, 2, 0);
            assert_eq!(socket(libc::AF_PACKET), Some(libc::EPERM));
            assert_eq!(socket(libc::AF_ALG), Some(libc::EPERM));
            assert_eq!(socket(libc::AF_INET), None);
            assert_eq!(raw(libc::SYS_clone3, 0, 0, 0), Some(libc::ENOSYS));
            let user = libc::CLONE_NEWUSER as u64;
            assert_eq!(raw(libc::SYS_clone, user, 0, 0), Some(libc::EPERM));
            let all = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
            assert_eq!(raw(libc::SYS_mmap, 0, 4096, all), Some(libc::EPERM));
            assert_eq!(raw(libc::SYS_ioctl, 0, libc::TIOCSTI, 0), Some(libc::EPERM));
            #[cfg(target_arch = "x86_64")]
            assert_eq!(raw(0x4000_0000 + 520, 0, 0, 0), Some(libc::EPERM));
            // What a server does goes on: threads, files, sockets, memory, names of hosts.
            std::thread::spawn(|| ()).join().unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            std::net::TcpStream::connect(address).unwrap();
            std::net::ToSocketAddrs::to_socket_addrs("localhost:1").unwrap();
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("x"), vec![0; 4 << 20]).unwrap();
        });
    }

    /// What the kernel says from now on; `None` where it is not for us to read.
    fn kernel_log() -> Option<File> {
        use std::io::Seek;
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let mut log = options.open("/dev/kmsg").ok()?;
        log.seek(std::io::SeekFrom::End(0)).ok()?;
        Some(log)
    }

    #[test]
    fn what_is_refused_stands_in_the_kernels_log() {
        use std::io::Read;
        // With auditd it is in another file, which belongs to the whole machine.
        let audited = std::process::Command::new("pidof").arg("auditd").output();
        let log = kernel_log().filter(|_| !audited.is_ok_and(|done| done.status.success()));
        let Some(mut log) = log else {
            eprintln!("the kernel's log is not ours to read here");
            return;
        };
        let told = std::thread::Builder::new().name("is-it-told".to_owned());
        let work = move || {
            seccomp().unwrap();
            let (mut said, mut record) = (String::new(), [0; 8192]);
            // It comes a moment later, and not at all while there is much else.
            for _ in 0..40 {
                assert!(std::os::unix::fs::chroot("/").is_err());
                std::thread::sleep(std::time::Duration::from_millis(500));
                while let Ok(read @ 1..) = log.read(&mut record) {
                    said.push_str(&String::from_utf8_lossy(&record[..read]));
                }
                // AUDIT_SECCOMP is 1326.
                let call = format!(" syscall={} ", libc::SYS_chroot);
                let wanted = ["type=1326", " comm=\"is-it-told\" ", &call];
                let mut lines = said.lines();
                if lines.any(|line| wanted.iter().all(|word| line.contains(word))) {
                    return;
                }
            }
            panic!("nothing of it in {said}");
        };
        told.spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn a_link_lets_both_its_directories_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        for name in ["live", "archive"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        fs::write(path.join("archive/1.pem"), "").unwrap();
        std::os::unix::fs::symlink("../archive/1.pem", path.join("live/a.pem")).unwrap();
        assert_eq!(
            around(path.join("live/a.pem")),
            [path.join("live"), path.join("archive")]
        );
        // Not all of /etc for one file.
        assert_eq!(
            around("/etc/no-such.pem".into()),
            [Path::new("/etc/no-such.pem"); 2]
        );
    }
}
