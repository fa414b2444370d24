//! `restante user`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use restante_auth::password::{self, Cost};
use restante_auth::schemes;
use restante_server::Admin;
use restante_server::admin::{
    QuotaLimit, QuotaResource, Reply, Request, USERS_MAX, UserToAdd, check_user_name,
};
use restante_server::config::Size;

use crate::Place;
use crate::admin::{block_on, call, text};
use crate::undelete::{ago, printable};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or many from a file
    Add(AddArgs),
    /// Set a user's password
    Passwd {
        /// The user
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        place: Place,
    },
    /// List the users, or show one with what is in the account
    List {
        /// Only this user
        name: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a user; the mail is deleted after the retention time
    Remove {
        /// The user
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Set how much mail a user may have; what is not named stays as it is
    #[command(group = clap::ArgGroup::new("limits").required(true).multiple(true))]
    Quota {
        /// The user
        name: String,
        /// Such as "5 GiB", or `default`
        #[arg(group = "limits")]
        size: Option<String>,
        /// The most messages in all mailboxes, or `default`
        #[arg(long, value_name = "NUMBER", group = "limits")]
        messages: Option<String>,
        /// The most mailboxes, INBOX among them, or `default`
        #[arg(long, value_name = "NUMBER", group = "limits")]
        mailboxes: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Switch capabilities off for a user whose client breaks with them: at the next login they are not
    /// shown, and refused. Without any, all are on again
    Hide {
        /// The user
        name: String,
        /// Such as NOTIFY
        words: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Passwords of single devices: made by the server, shown once, revoked one by one
    #[command(subcommand)]
    AppPassword(AppPasswordCommand),
    /// Show the last logins of a user: when, from where, how, with what, and why they failed
    Logins {
        /// The user
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Lock a user out (mail is still delivered)
    Disable {
        /// The user
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let a user in again
    Enable {
        /// The user
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppPasswordCommand {
    /// Make one, and show it: nobody can see it again
    Add {
        /// The user
        name: String,
        /// What it is for, such as "phone"
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        #[command(flatten)]
        place: Place,
    },
    /// List them: number, when made and last used, what for
    List {
        /// The user
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Revoke one
    Revoke {
        /// The user
        name: String,
        /// Its number
        id: u64,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The user's name: plain, or an address
    #[arg(required_unless_present = "csv", conflicts_with = "csv")]
    name: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// Read a hash from standard input instead of a password: as Dovecot has it ({SCHEME}hash) or crypt(3).
    /// It is replaced by one of ours at the first login
    #[arg(long, conflicts_with_all = ["password_stdin", "csv"])]
    hash_stdin: bool,
    /// Without a password here: for who signs in with another source of users, a token or a certificate
    #[arg(long, conflicts_with_all = ["password_stdin", "hash_stdin", "csv"])]
    no_password: bool,
    /// How much mail the user may have, such as "5 GiB"
    #[arg(long, value_name = "SIZE")]
    quota: Option<Size>,
    /// Add many: a file with lines of name,password (quoted if need be). A password that begins
    /// with $argon2 is taken for a hash in PHC form
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    csv: Option<PathBuf>,
    /// The file has hashes as --hash-stdin reads them, not passwords
    #[arg(long, requires = "csv")]
    hashes: bool,
    /// Leave out users that exist, instead of stopping
    #[arg(long)]
    skip_existing: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from standard input (its first line) instead of asking
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) fn run(command: &UserCommand) -> Result<(), String> {
    match command {
        UserCommand::Add(args) => match (&args.csv, &args.name) {
            (Some(file), _) => add_many(args, file),
            (None, Some(name)) => add_one(args, name),
            (None, None) => Err("a name or --csv is needed".to_owned()),
        },
        UserCommand::Passwd {
            name,
            password,
            place,
        } => {
            let config = place.load()?;
            let password = read_password(name, password)?;
            let request = Request::UserPassword {
                name: name.clone(),
                hash: hash(&password, config.cost())?,
                scram: config.scram_keys(&password),
            };
            done(
                place,
                request,
                &format!("The password of {name} is changed."),
            )
        }
        UserCommand::List { name: None, place } => list(place),
        UserCommand::List {
            name: Some(name),
            place,
        } => show(place, name),
        UserCommand::Remove { name, place } => {
            let request = Request::UserRemove { name: name.clone() };
            done(place, request, &format!("{name} is removed."))
        }
        UserCommand::Quota {
            name,
            size,
            messages,
            mailboxes,
            place,
        } => {
            let limits = quota_limits(size, messages, mailboxes)?;
            let named = [
                size.clone(),
                messages.as_ref().map(|most| format!("{most} messages")),
                mailboxes.as_ref().map(|most| format!("{most} mailboxes")),
            ];
            let named: Vec<_> = named.into_iter().flatten().collect();
            let request = Request::UserQuota {
                name: name.clone(),
                limits,
            };
            let text = format!("The quota of {name} is {}.", named.join(", "));
            done(place, request, &text)
        }
        UserCommand::Hide { name, words, place } => {
            let request = Request::UserHide {
                name: name.clone(),
                words: words.clone(),
            };
            let text = match words.as_slice() {
                [] => format!("Nothing is hidden from {name}."),
                words => format!("Hidden from {name}: {}.", words.join(" ")),
            };
            done(place, request, &text)
        }
        UserCommand::AppPassword(command) => app_password(command),
        UserCommand::Logins { name, place } => crate::logins::of_user(place, name),
        UserCommand::Disable { name, place } => {
            let request = Request::UserDisabled {
                name: name.clone(),
                disabled: true,
            };
            done(place, request, &format!("{name} is locked out."))
        }
        UserCommand::Enable { name, place } => {
            let request = Request::UserDisabled {
                name: name.clone(),
                disabled: false,
            };
            done(place, request, &format!("{name} can sign in again."))
        }
    }
}

fn app_password(command: &AppPasswordCommand) -> Result<(), String> {
    match command {
        AppPasswordCommand::Add { name, label, place } => {
            let request = Request::AppPasswordAdd {
                name: name.clone(),
                label: label.clone(),
            };
            let Reply::AppPassword { id, password } = block_on(call(place, request))? else {
                return Err("an unexpected answer".to_owned());
            };
            eprintln!("App password {id} of {name}. It is not shown again:");
            println!("{password}");
            Ok(())
        }
        AppPasswordCommand::List { name, place } => {
            let request = Request::AppPasswords { name: name.clone() };
            let Reply::AppPasswords { passwords } = block_on(call(place, request))? else {
                return Err("an unexpected answer".to_owned());
            };
            for password in passwords {
                let used = match password.used_ms {
                    0 => "never".to_owned(),
                    ms => ago(ms),
                };
                let made = ago(password.created_ms);
                let label = printable(&password.label);
                println!("{:>4}  made {made}, used {used}  {label}", password.id);
            }
            Ok(())
        }
        AppPasswordCommand::Revoke { name, id, place } => {
            let request = Request::AppPasswordRevoke {
                name: name.clone(),
                id: *id,
            };
            done(
                place,
                request,
                &format!("App password {id} of {name} is revoked."),
            )
        }
    }
}

fn done(place: &Place, request: Request, message: &str) -> Result<(), String> {
    block_on(call(place, request))?;
    println!("{message}");
    Ok(())
}

fn hash(password: &str, cost: Cost) -> Result<String, String> {
    password::hash(password, cost).map_err(|error| error.to_string())
}

/// The first line of standard input.
fn read_line() -> Result<String, String> {
    let mut text = String::new();
    let limit = password::PASSWORD_BYTES_MAX as u64 + 2;
    let read = std::io::stdin().take(limit).read_to_string(&mut text);
    read.map_err(|error| format!("standard input: {error}"))?;
    let line = text.split('\n').next().unwrap_or_default();
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// The first line of standard input, or what is typed twice.
fn read_password(name: &str, args: &PasswordArgs) -> Result<String, String> {
    if args.password_stdin {
        return read_line();
    }
    if !std::io::stdin().is_terminal() {
        return Err("no terminal to ask for a password; use --password-stdin".to_owned());
    }
    let ask = |prompt: String| {
        rpassword::prompt_password(prompt).map_err(|error| format!("the terminal: {error}"))
    };
    let first = ask(format!("Password for {name}: "))?;
    if ask("Again: ".to_owned())? != first {
        return Err("the passwords differ".to_owned());
    }
    Ok(first)
}

/// The limits that were given.
fn quota_limits(
    size: &Option<String>,
    messages: &Option<String>,
    mailboxes: &Option<String>,
) -> Result<Vec<QuotaLimit>, String> {
    let bytes = |text: &str| text.parse::<Size>().map(|size| size.0);
    let number = |text: &str| {
        let number = text.parse::<u64>();
        number.map_err(|_| format!("{text}: not a number"))
    };
    let mut limits = Vec::new();
    let mut set = |resource, given: &Option<String>, parse: &dyn Fn(&str) -> _| {
        if let Some(text) = given {
            let limit = match text.as_str() {
                "default" => None,
                text => Some(parse(text)?),
            };
            limits.push(QuotaLimit { resource, limit });
        }
        Ok::<_, String>(())
    };
    set(QuotaResource::Bytes, size, &bytes)?;
    set(QuotaResource::Messages, messages, &number)?;
    set(QuotaResource::Mailboxes, mailboxes, &number)?;
    Ok(limits)
}

fn add_one(args: &AddArgs, name: &str) -> Result<(), String> {
    check_user_name(name)?;
    let config = args.place.load()?;
    let mut user = UserToAdd {
        name: name.to_owned(),
        hash: None,
        scram: Vec::new(),
        quota: args.quota.map(|size| size.0),
    };
    if args.hash_stdin {
        let hash = read_line()?;
        schemes::check(&hash).map_err(|error| error.to_string())?;
        user.hash = Some(hash);
    } else if !args.no_password {
        let password = read_password(name, &args.password)?;
        user.hash = Some(hash(&password, config.cost())?);
        user.scram = config.scram_keys(&password);
    }
    let request = Request::UsersAdd {
        users: vec![user],
        skip_existing: args.skip_existing,
    };
    match block_on(call(&args.place, request))? {
        Reply::Added { added: 0, .. } => println!("{name} exists already."),
        _ => println!("{name} is added."),
    }
    Ok(())
}

/// A line of the file: where it is, name, password.
struct Line {
    number: u64,
    name: String,
    password: String,
    /// Whether it is a hash already.
    is_hash: bool,
}

fn add_many(args: &AddArgs, file: &Path) -> Result<(), String> {
    let lines = read_csv(file, args.hashes)?;
    let config = args.place.load()?;
    let quota = args.quota.map(|size| size.0);
    let progress = ProgressBar::new(lines.len() as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} users, {eta} left");
    progress.set_style(style.map_err(|error| error.to_string())?);
    let (mut added, mut existing) = (0, 0);
    block_on(async {
        let mut admin = Admin::open(&config).await.map_err(text)?;
        for batch in lines.chunks(USERS_MAX.min(200)) {
            let hashes = hash_all(batch, config.cost())?;
            let users = batch.iter().zip(hashes).map(|(line, hash)| UserToAdd {
                name: line.name.clone(),
                hash: Some(hash),
                // Made at the first login: it would take as long again.
                scram: Vec::new(),
                quota,
            });
            let request = Request::UsersAdd {
                users: users.collect(),
                skip_existing: args.skip_existing,
            };
            match admin.call(request).await.map_err(text)? {
                Reply::Added {
                    added: new,
                    existing: old,
                } => {
                    added += new;
                    existing += old.len();
                }
                _ => return Err("an unexpected answer".to_owned()),
            }
            progress.inc(batch.len() as u64);
        }
        admin.close().await;
        Ok(())
    })
    .map_err(|error| format!("{error} ({added} users were added before)"))?;
    progress.finish_and_clear();
    match existing {
        0 => println!("{added} users added."),
        existing => println!("{added} users added, {existing} existed already."),
    }
    Ok(())
}

fn read_csv(file: &Path, hashes: bool) -> Result<Vec<Line>, String> {
    let about = |error: csv::Error| format!("{}: {error}", file.display());
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::None)
        .from_path(file)
        .map_err(about)?;
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(about)?;
        let number = record.position().map_or(0, csv::Position::line);
        let wrong = |reason: &str| format!("{}:{number}: {reason}", file.display());
        let (Some(name), Some(password), 2) = (record.get(0), record.get(1), record.len()) else {
            return Err(wrong("not name,password"));
        };
        if lines.is_empty() && name.eq_ignore_ascii_case("name") && password == "password" {
            continue;
        }
        check_user_name(name).map_err(|reason| wrong(&reason))?;
        let is_hash = hashes || password.starts_with("$argon2");
        if is_hash {
            schemes::check(password).map_err(|error| wrong(&error.to_string()))?;
        } else {
            password::acceptable(password).map_err(|error| wrong(&error.to_string()))?;
        }
        lines.push(Line {
            number,
            name: name.to_owned(),
            password: password.to_owned(),
            is_hash,
        });
    }
    Ok(lines)
}

/// Hashes on all cores.
fn hash_all(lines: &[Line], cost: Cost) -> Result<Vec<String>, String> {
    let threads = std::thread::available_parallelism()
        .map_or(2, |n| n.get())
        .min(lines.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut hashes = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(line) = lines.get(index) else {
                return Ok(hashes);
            };
            let hash = if line.is_hash {
                line.password.clone()
            } else {
                hash(&line.password, cost).map_err(|e| format!("line {}: {e}", line.number))?
            };
            hashes.push((index, hash));
        }
    };
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let parts = workers.into_iter().map(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err("a hashing thread ended early".to_owned()))
        });
        parts.collect::<Result<Vec<Vec<(usize, String)>>, String>>()
    })?;
    let mut hashes: Vec<_> = parts.into_iter().flatten().collect();
    hashes.sort_unstable_by_key(|(index, _)| *index);
    Ok(hashes.into_iter().map(|(_, hash)| hash).collect())
}

fn list(place: &Place) -> Result<(), String> {
    block_on(async {
        let config = place.load()?;
        let mut admin = Admin::open(&config).await.map_err(text)?;
        let mut after = None;
        loop {
            let request = Request::Users {
                after: after.take(),
                limit: USERS_MAX,
            };
            let Reply::Users { users } = admin.call(request).await.map_err(text)? else {
                return Err("an unexpected answer".to_owned());
            };
            let Some(last) = users.last() else { break };
            after = Some(last.name.clone());
            for user in &users {
                let mut line = user.name.clone();
                if let Some(quota) = user.quota {
                    line.push_str(&format!("\tquota {}", Size(quota)));
                }
                if let Some(most) = user.quota_messages {
                    line.push_str(&format!("\t{most} messages"));
                }
                if let Some(most) = user.quota_mailboxes {
                    line.push_str(&format!("\t{most} mailboxes"));
                }
                if user.disabled {
                    line.push_str("\tlocked out");
                }
                println!("{line}");
            }
        }
        admin.close().await;
        Ok(())
    })
}

fn show(place: &Place, name: &str) -> Result<(), String> {
    let request = Request::User {
        name: name.to_owned(),
    };
    let Reply::User {
        user,
        used,
        messages,
        mailboxes,
        limit,
        messages_max,
        mailboxes_max,
        hidden,
    } = block_on(call(place, request))?
    else {
        return Err("an unexpected answer".to_owned());
    };
    println!("name:      {}", user.name);
    println!("account:   {}", user.account);
    let of = |most: Option<u64>| most.map_or(String::new(), |most| format!(" of {most}"));
    println!("mailboxes: {mailboxes}{}", of(mailboxes_max));
    println!("messages:  {messages}{}", of(messages_max));
    println!("size:      {used} bytes");
    match limit {
        Some(limit) => println!("quota:     {}", Size(limit)),
        None => println!("quota:     none"),
    }
    if !hidden.is_empty() {
        println!("hidden:    {}", hidden.join(" "));
    }
    if !user.password {
        println!("password:  none: cannot sign in");
    }
    if user.disabled {
        println!("locked out");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> Result<Vec<(String, String)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users.csv");
        std::fs::write(&file, text).unwrap();
        let lines =
            read_csv(&file, false).map_err(|e| e.replace(file.to_str().unwrap(), "FILE"))?;
        Ok(lines
            .into_iter()
            .map(|line| (line.name, line.password))
            .collect())
    }

    #[test]
    fn a_file_of_users() {
        let pair = |name: &str, password: &str| (name.to_owned(), password.to_owned());
        assert_eq!(
            csv("name,password\nada,one\n\"bob@example.org\",\"a,\"\"b\"\"\"\n"),
            Ok(vec![pair("ada", "one"), pair("bob@example.org", "a,\"b\"")])
        );
        assert_eq!(csv(""), Ok(vec![]));
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert_eq!(
            csv("ada,one\nbob\n"),
            Err("FILE:2: not name,password".to_owned())
        );
        assert_eq!(
            csv("ada,one\nbob,\n"),
            Err("FILE:2: the password is empty".to_owned())
        );
        assert_eq!(
            csv("a b,one\n").unwrap_err().split(": ").next(),
            Some("FILE:1")
        );
        assert!(csv("ada,$argon2id$broken\n").unwrap_err().contains("PHC"));
    }

    #[test]
    fn hashes_stay_with_their_lines() {
        let line = |number: u64| Line {
            number,
            name: number.to_string(),
            password: format!("pw{number}"),
            is_hash: false,
        };
        let lines: Vec<_> = (0..20).map(line).collect();
        let cost = Cost {
            memory_kib: 8,
            iterations: 1,
            parallelism: 1,
        };
        let hashes = hash_all(&lines, cost).unwrap();
        for (line, hash) in lines.iter().zip(&hashes) {
            assert!(password::verify(&line.password, hash));
        }
    }
}
