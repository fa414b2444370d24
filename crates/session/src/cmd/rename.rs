//! RENAME (RFC 9051 §6.3.6).

use restante_proto::types::MailboxName;

use crate::convert;
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Renames a mailbox and those below it. The messages of INBOX move to the new mailbox, and it stays.
pub(crate) async fn run(state: &mut State, from: MailboxName, to: MailboxName) -> Outcome {
    let login = state.login()?;
    let (from, to) = (convert::mailbox_name(&from)?, convert::mailbox_name(&to)?);
    login.account.rename(&from, &to).await?;
    Ok(Reply::ok("RENAME completed"))
}
