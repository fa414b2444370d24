//! One file for each command, and the step from a decoded command to its file.

mod authenticate;
mod capability;
mod close;
mod enable;
mod id;
pub(crate) mod login;
mod namespace;
mod noop;
mod select;
mod starttls;

use restante_proto::types::{AppendHead, Command, CommandBody as C};

use crate::cx::Cx;
use crate::reply::{Failure, Outcome, client_bug};
use crate::state::State;

/// Runs a command that the table allows in this state. IDLE is not here: it is a mode of the
/// session's loop, so that an idle session holds no command's memory.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, command: Command) -> Outcome {
    match command.body {
        C::Capability => capability::run(cx, state),
        C::Noop => noop::noop(),
        C::Logout => noop::logout(),
        C::Id(parameters) => id::run(cx, parameters),
        C::StartTls => starttls::run(cx, state),
        C::Authenticate(args) => authenticate::run(cx, state, args).await,
        C::Login { user, password } => login::run(cx, state, user, password).await,
        C::Enable(words) => enable::run(cx, state, words),
        C::Select(args) => select::run(cx, state, args).await,
        C::Namespace => namespace::run(cx, state.login()?),
        C::Close => close::close(state).await,
        C::Unselect => close::unselect(state),
        C::Check => noop::check(),
        other => Err(unsupported(other.name())),
    }
}

/// Runs an APPEND or REPLACE that the table allows in this state. What it does not take of the message
/// is skipped by the caller.
pub(crate) async fn append(cx: &mut Cx, state: &mut State, head: AppendHead) -> Outcome {
    let _ = (cx, state, head);
    Err(unsupported("APPEND"))
}

/// The answer to a command that the grammar has and this server has not.
fn unsupported(name: &str) -> Failure {
    client_bug(format!("{name} is not supported"))
}
