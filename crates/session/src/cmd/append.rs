//! APPEND (RFC 9051 §6.3.12), with several messages (RFC 3502).
//!
//! Each message is streamed into the store while it comes; the client is asked for it only when it can
//! be taken. All messages of one command become one record, or none does.

use restante_mailbox::{Append, DateTime, NewEmail, Reservation};
use restante_proto::types::{AppendData, AppendHead, Code, LiteralHead};

use crate::convert;
use crate::cx::Cx;
use crate::reply::{Failure, Outcome, Reply, client_bug, try_create};
use crate::state::{Login, State};
use crate::wire::Input;

/// Runs the command from the head of its first message.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, head: AppendHead) -> Outcome {
    let login = state.login()?;
    if head.replace.is_some() {
        return Err(client_bug("REPLACE is not supported"));
    }
    let name = convert::mailbox_name(&head.mailbox)?;
    let mailbox = login.account.mailbox(&name).await.map_err(try_create)?;
    // The room is held until the messages count.
    let (appends, _room) = messages(cx, login, head).await?;
    let appended = mailbox.append(appends).await.map_err(try_create)?;
    let reply = Reply::ok("APPEND completed");
    Ok(match convert::wire_uid_validity(appended.uid_validity) {
        Some(uid_validity) => reply.code(Code::AppendUid {
            uid_validity,
            uids: convert::wire_uids(appended.uids.iter().copied()),
        }),
        None => reply,
    })
}

/// Takes the messages of the command to its end.
async fn messages(
    cx: &mut Cx,
    login: &Login,
    first: AppendHead,
) -> Result<(Vec<Append>, Vec<Reservation>), Failure> {
    let mut appends = Vec::new();
    let mut room = Vec::new();
    let mut bytes = 0u64;
    let mut head = first;
    loop {
        if appends.len() >= cx.env.limits.append_messages_max as usize {
            return Err(Reply::no("Too many messages in one APPEND")
                .code(Code::Limit)
                .into());
        }
        let flags = convert::flag_names(&head.flags)?;
        let internal_date = match head.internal_date {
            Some(date) => convert::date_time(date),
            None => DateTime::utc(login.account.now_ms().div_euclid(1000)),
        };
        let AppendData::Literal(literal) = head.data else {
            return Err(client_bug("CATENATE is not supported"));
        };
        if literal.size > cx.env.limits.append_bytes_max {
            // RFC 7889 §3; RFC 4469 §5 has the code.
            return Err(Reply::no("The message is too large")
                .code(Code::TooBig)
                .into());
        }
        bytes = bytes.saturating_add(literal.size);
        if bytes > cx.env.limits.append_bytes_max {
            // Small messages wait in memory for the end of the command.
            return Err(
                Reply::no("The messages of one APPEND are too large together")
                    .code(Code::Limit)
                    .into(),
            );
        }
        room.push(login.account.reserve(literal.size)?);
        let email = message(cx, login, literal).await?;
        appends.push(Append {
            email,
            flags,
            internal_date,
        });
        match cx.conn.next().await? {
            Input::Append(next) => head = *next,
            Input::AppendEnd => return Ok((appends, room)),
            other => return Err(unexpected(other)),
        }
    }
}

/// What does not belong into an APPEND ends it.
fn unexpected(input: Input) -> Failure {
    match input {
        Input::Bad(_, reply) => reply.into(),
        Input::Bye(text) => Failure::Bye(Reply::bye(text).code(Code::ClientBug)),
        _ => client_bug("Unexpected input in APPEND"),
    }
}

/// Takes one message.
async fn message(cx: &mut Cx, login: &Login, literal: LiteralHead) -> Result<NewEmail, Failure> {
    if literal.size == 0 {
        // A client gives up a command so (RFC 3502 §6.3.11).
        return Err(Reply::no("No message of no bytes is kept").into());
    }
    if literal.utf8 && !cx.enabled.utf8_accept() {
        // RFC 9755 §4
        return Err(client_bug("UTF8=ACCEPT has not been enabled"));
    }
    let mut draft = login.account.new_email();
    cx.conn.accept(Some(literal));
    loop {
        match cx.conn.next().await? {
            Input::Chunk(chunk) => {
                if !literal.literal8 && chunk.contains(&0) {
                    // RFC 9051 §4.3: only a literal8 may hold NUL.
                    return Err(client_bug("NUL in a literal"));
                }
                draft.write(&chunk).await?;
            }
            Input::LiteralEnd => return Ok(draft.finish().await?),
            other => return Err(unexpected(other)),
        }
    }
}
