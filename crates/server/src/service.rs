//! Who the server is: started as root it takes what only root can have, then becomes the service's user
//! for good.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getgid, getuid, initgroups, setresgid, setresuid};
use rustix::fs::{Mode, OFlags};
use thiserror::Error;

use crate::config::Config;
use crate::files;

/// Why the server cannot be who it should be.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// There is no such user.
    #[error("service.user: there is no user `{0}`; make it with: useradd --system {0}")]
    NoUser(String),
    /// There is no such group.
    #[error("service.group: there is no group `{0}`; make it with: groupadd --system {0}")]
    NoGroup(String),
    /// It is root.
    #[error("service.user: `{0}` is root: nothing would be given up")]
    Root(String),
    /// Only root becomes somebody else.
    #[error(
        "service.user is `{user}`, and user {now} cannot become it; start the server as root or as `{user}`"
    )]
    NotRoot {
        /// Who it should be.
        user: String,
        /// The number of who it is.
        now: u32,
    },
    /// The data is somebody else's.
    #[error(
        "{}: belongs to user {owner}, not to `{user}`; after a look at it: chown -R {user} {}", path.display(), path.display()
    )]
    Owner {
        /// The data directory.
        path: PathBuf,
        /// Who has it.
        owner: u32,
        /// Who should.
        user: String,
    },
    /// The data directory cannot be made.
    #[error("{}: the data directory cannot be made: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The system refuses.
    #[error("the server cannot become `{user}`: {source}")]
    System {
        /// Who it should be.
        user: String,
        /// The cause.
        source: io::Error,
    },
}

/// The service's user and group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Identity {
    /// Looks the configured user up, if there is one.
    pub(crate) fn of(config: &Config) -> Result<Option<Identity>, ServiceError> {
        let service = &config.service;
        if service.user.is_empty() {
            return Ok(None);
        }
        let system = |error: nix::Error| ServiceError::System {
            user: service.user.clone(),
            source: error.into(),
        };
        let user = User::from_name(&service.user).map_err(system)?;
        let user = user.ok_or_else(|| ServiceError::NoUser(service.user.clone()))?;
        if user.uid.is_root() {
            return Err(ServiceError::Root(service.user.clone()));
        }
        let gid = match service.group.as_str() {
            "" => user.gid,
            name => {
                let group = Group::from_name(name).map_err(system)?;
                group
                    .ok_or_else(|| ServiceError::NoGroup(name.to_owned()))?
                    .gid
            }
        };
        Ok(Some(Identity {
            name: user.name,
            uid: user.uid,
            gid,
        }))
    }

    fn is_now(&self) -> bool {
        getuid() == self.uid && Uid::effective() == self.uid
    }

    /// Makes the data directory if there is none, and makes sure that it is this user's. Of what is in it
    /// nothing is touched: root does not follow what a service may have left there.
    fn take(&self, data: &Path) -> Result<(), ServiceError> {
        let failed = |source: io::Error| ServiceError::Directory {
            path: data.to_owned(),
            source,
        };
        // Those above it stay open for the user to get through.
        if let Some(parent) = data.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            make_passable(parent).map_err(failed)?;
        }
        files::create_private_dir(data).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(data, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        let owner = rustix::fs::fstat(dir.as_fd()).map_err(|e| failed(e.into()))?;
        if owner.st_uid == self.uid.as_raw() {
            return Ok(());
        }
        if fs::read_dir(data).map_err(failed)?.next().is_some() {
            return Err(ServiceError::Owner {
                path: data.to_owned(),
                owner: owner.st_uid,
                user: self.name.clone(),
            });
        }
        let uid = rustix::fs::Uid::from_raw(self.uid.as_raw());
        let gid = rustix::fs::Gid::from_raw(self.gid.as_raw());
        rustix::fs::fchown(dir.as_fd(), Some(uid), Some(gid))
            .and_then(|()| rustix::fs::fchmod(dir.as_fd(), Mode::RWXU))
            .map_err(|e| failed(e.into()))
    }

    /// Becomes this user, in all threads (the C library sees to that), with its groups and no others.
    fn assume(&self) -> Result<(), ServiceError> {
        let system = |source: io::Error| ServiceError::System {
            user: self.name.clone(),
            source,
        };
        let name = CString::new(self.name.as_str()).map_err(|error| system(error.into()))?;
        let change = || {
            initgroups(&name, self.gid)?;
            setresgid(self.gid, self.gid, self.gid)?;
            setresuid(self.uid, self.uid, self.uid)
        };
        change().map_err(|error| system(error.into()))?;
        // What could be taken back was not given up.
        let back = [
            setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok(),
            !self.is_now(),
            getgid() != self.gid,
        ];
        match back.contains(&true) {
            true => Err(system(io::Error::other("root could be had again"))),
            false => Ok(()),
        }
    }
}

/// Makes a directory that is missing, and those above it, for everybody to pass.
fn make_passable(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        make_passable(parent)?;
    }
    fs::create_dir(dir)?;
    // The umask is for mail, not for what is above it.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

/// Makes the data directory and makes sure that it is the service's; says whom to become, if anybody.
pub(crate) fn prepare(config: &Config) -> Result<Option<Identity>, ServiceError> {
    let data = config.data_dir();
    let user = Identity::of(config)?;
    match &user {
        Some(user) if user.is_now() => {}
        Some(user) if Uid::effective().is_root() => {
            user.take(&data)?;
            return Ok(Some(user.clone()));
        }
        Some(user) => {
            return Err(ServiceError::NotRoot {
                user: user.name.clone(),
                now: Uid::effective().as_raw(),
            });
        }
        None => {}
    }
    files::create_private_dir(&data)
        .map(|()| None)
        .map_err(|source| ServiceError::Directory { path: data, source })
}

/// Becomes the user, and gives up whatever makes this process more than others: capabilities, and getting
/// any by starting a program. For the one thread that there is yet.
pub(crate) fn give_up(user: Option<&Identity>) -> Result<(), ServiceError> {
    if let Some(user) = user {
        user.assume()?;
        tracing::info!(user = %user.name, uid = user.uid.as_raw(), gid = user.gid.as_raw(), "gave up root");
    } else if Uid::effective().is_root() {
        tracing::warn!(
            "the server runs as root; name a user to become in [service] user, so that a flaw in it is less"
        );
    }
    let outcome = drop_capabilities();
    if let Err(error) = outcome {
        tracing::warn!(%error, "capabilities could not be given up");
    }
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        tracing::warn!(%error, "no_new_privs could not be set");
    }
    Ok(())
}

/// CAP_NET_BIND_SERVICE, as the systemd unit gives it, was for binding. Root keeps those that it has: it
/// may need them to read its own files.
fn drop_capabilities() -> io::Result<()> {
    use rustix::thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    };
    if Uid::effective().is_root() {
        return Ok(());
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, none)?)
}

/// For commands that open the store themselves: as root they become the service's user first, so that no
/// file in it is root's.
pub(crate) fn become_owner(config: &Config) -> Result<(), ServiceError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    match prepare(config)? {
        Some(user) => user.assume(),
        None => Ok(()),
    }
}

/// The configured files that this process cannot read, with their keys and why.
pub(crate) fn unreadable(config: &Config) -> Vec<(&'static str, PathBuf, io::Error)> {
    let files = config.files().into_iter();
    files
        .filter_map(|(key, path)| {
            let error = fs::File::open(&path).err()?;
            Some((key, path, error))
        })
        .collect()
}

/// What to do about a file that is closed to the service's user.
pub(crate) const HOW_TO_READ: &str = "the server reads it as the user it has become, from the directories \
     that were configured when it started: let that user's group read it (chgrp, chmod 640), or restart";

/// Looks at what the configuration needs of the system: the user, its data, files that it must read. Says
/// what is wrong. Started as root, the process becomes the service's user by it.
pub fn check(file: &Path, config: &Config) -> Vec<String> {
    let user = match Identity::of(config) {
        Ok(user) => user,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = Vec::new();
    let data = config.data_dir();
    if let (Some(user), Ok(owner)) = (&user, fs::metadata(&data)) {
        let empty = fs::read_dir(&data).is_ok_and(|mut dir| dir.next().is_none());
        if owner.uid() != user.uid.as_raw() && !empty {
            wrong.push(
                ServiceError::Owner {
                    path: data,
                    owner: owner.uid(),
                    user: user.name.clone(),
                }
                .to_string(),
            );
        }
    }
    // What root reads before it becomes somebody else must be readable by root, the rest by that user.
    let reads_as = match &user {
        Some(user) if user.is_now() => format!("`{}`", user.name),
        Some(user) if Uid::effective().is_root() => {
            if let Err(error) = user.assume() {
                wrong.push(error.to_string());
                return wrong;
            }
            format!("`{}`, who reads it at a reload,", user.name)
        }
        _ => "this user".to_owned(),
    };
    let listed = unreadable(config);
    let own = fs::File::open(file).err();
    let own = own.map(|error| ("this file", file.to_owned(), error));
    for (key, path, error) in own.into_iter().chain(listed) {
        wrong.push(format!(
            "{key}: {}: {reads_as} cannot read it: {error}",
            path.display()
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(user: &str, group: &str) -> Config {
        let mut config = Config::default();
        config.service.user = user.to_owned();
        config.service.group = group.to_owned();
        config
    }

    #[test]
    fn users_and_groups_are_looked_up() {
        assert_eq!(Identity::of(&Config::default()).unwrap(), None);
        let error = Identity::of(&config("no-such-user-here", "")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("useradd --system no-such-user-here"),
            "{error}"
        );
        let error = Identity::of(&config("nobody", "no-such-group-here")).unwrap_err();
        assert!(error.to_string().contains("groupadd"), "{error}");
        let nobody = Identity::of(&config("nobody", "")).unwrap().unwrap();
        assert!(!nobody.uid.is_root());
        // By another name, root is root.
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        assert!(matches!(
            Identity::of(&config(&root.name, "")),
            Err(ServiceError::Root(_))
        ));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.oauth.ca_file = dir.path().join("missing.pem");
        let file = dir.path().join("restante.toml");
        let wrong = check(&file, &config);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("this file: "), "{wrong:?}");
        assert!(wrong[1].starts_with("oauth.ca_file: "), "{wrong:?}");
        fs::write(&file, "").unwrap();
        fs::write(&config.oauth.ca_file, "").unwrap();
        assert_eq!(check(&file, &config), Vec::<String>::new());
    }

    #[test]
    fn a_data_directory_is_taken_only_when_it_is_new_or_empty() {
        if !Uid::effective().is_root() {
            // Only root can give a directory away.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let user = Identity::of(&config("nobody", "")).unwrap().unwrap();
        let data = dir.path().join("a/b");
        user.take(&data).unwrap();
        let taken = fs::metadata(&data).unwrap();
        assert_eq!(
            (taken.uid(), taken.mode() & 0o777),
            (user.uid.as_raw(), 0o700)
        );
        assert_eq!(
            fs::metadata(dir.path().join("a")).unwrap().mode() & 0o777,
            0o755
        );
        let full = dir.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("x"), "").unwrap();
        let error = user.take(&full).unwrap_err().to_string();
        assert!(error.contains("chown -R nobody"), "{error}");
    }
}
