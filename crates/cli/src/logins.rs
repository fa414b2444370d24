//! `restante user logins` and `restante throttle`.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use restante_server::admin::{Reply, Request};

use crate::Place;
use crate::admin::{block_on, call};
use crate::undelete::{ago, printable};

#[derive(Debug, Subcommand)]
pub(crate) enum ThrottleCommand {
    /// List what is counted: users, networks, users from networks
    List(Place),
    /// Forget failed logins
    Clear(ClearArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ClearArgs {
    /// Those of this user
    #[arg(long, value_name = "NAME", required_unless_present_any = ["address", "all"])]
    user: Option<String>,
    /// Those from this address (of IPv6: its /64)
    #[arg(long, value_name = "ADDR")]
    address: Option<IpAddr>,
    /// All of them
    #[arg(long, conflicts_with_all = ["user", "address"])]
    all: bool,
    #[command(flatten)]
    place: Place,
}

/// `restante throttle`.
pub(crate) fn throttle(command: &ThrottleCommand) -> Result<(), String> {
    match command {
        ThrottleCommand::List(place) => list(place),
        ThrottleCommand::Clear(args) => {
            let request = Request::ThrottleClear {
                user: args.user.clone(),
                address: args.address,
            };
            match block_on(call(&args.place, request))? {
                Reply::Cleared { counts } => println!("{counts} counts are forgotten."),
                _ => return Err("an unexpected answer".to_owned()),
            }
            Ok(())
        }
    }
}

fn list(place: &Place) -> Result<(), String> {
    let Reply::Throttled { counts } = block_on(call(place, Request::Throttled {}))? else {
        return Err("an unexpected answer".to_owned());
    };
    if counts.is_empty() {
        println!("No failed logins are counted.");
        return Ok(());
    }
    println!("{:>8}  {:>8}  WHO", "WAIT", "FAILED");
    for count in counts {
        let wait = match count.wait_ms {
            0 => "-".to_owned(),
            ms => format!("{:.1}s", Duration::from_millis(ms).as_secs_f64()),
        };
        let who = match (&count.user, count.network) {
            (Some(user), Some(network)) => format!("{} from {network}", printable(user)),
            (Some(user), None) => format!("{} from new networks", printable(user)),
            (None, Some(network)) => format!("anybody from {network}"),
            (None, None) => String::new(),
        };
        println!("{wait:>8}  {:>8}  {who}", count.failures);
    }
    Ok(())
}

/// `restante user logins`.
pub(crate) fn of_user(place: &Place, name: &str) -> Result<(), String> {
    let request = Request::Logins {
        name: name.to_owned(),
    };
    let Reply::Logins { logins } = block_on(call(place, request))? else {
        return Err("an unexpected answer".to_owned());
    };
    if logins.is_empty() {
        println!("No login is on record.");
        return Ok(());
    }
    for login in logins {
        let outcome = match &login.failure {
            Some(reason) => format!("FAILED: {}", printable(reason)),
            None => "ok".to_owned(),
        };
        println!(
            "{:>16}  {}  {}  {}  {}  {outcome}",
            ago(login.at_ms),
            login.from,
            login.how,
            login.security.as_deref().unwrap_or("no TLS"),
            printable(login.client.as_deref().unwrap_or("-")),
        );
    }
    Ok(())
}
