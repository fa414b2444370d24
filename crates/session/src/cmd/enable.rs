//! ENABLE (RFC 9051 §6.3.1; RFC 5161).

use restante_proto::types::Atom;

use crate::capability;
use crate::cx::Cx;
use crate::notify::Notify;
use crate::reply::{Outcome, Reply};
use crate::state::State;

/// Turns on what is known and advertised; the rest is passed over. Allowed with a mailbox selected
/// too, where a first CONDSTORE enabling command tells HIGHESTMODSEQ (RFC 7162 §3.1).
pub(crate) async fn run(cx: &mut Cx, state: &mut State, words: Vec<Atom>) -> Outcome {
    let mut enabled: Vec<&str> = Vec::new();
    for word in capability::ENABLEABLE {
        // RFC 9755 §7: it is what UTF8=ONLY asks for.
        let hidden = cx.hides(word) && !(*word == "UTF8=ACCEPT" && cx.utf8_only());
        if hidden || !words.iter().any(|asked| asked.is(word)) {
            continue;
        }
        enabled.push(word);
        match *word {
            "IMAP4rev2" => cx.enabled.enable_rev2(),
            "UIDONLY" => cx.enabled.enable_uid_only(),
            "UTF8=ACCEPT" => cx.enabled.enable_utf8(),
            "CONDSTORE" => cx.condstore_aware(state.selected().ok().map(|(_, selected)| selected)),
            "QRESYNC" => {
                cx.condstore_aware(state.selected().ok().map(|(_, selected)| selected));
                cx.enabled.enable_qresync();
            }
            // After a NOTIFY it is NOTIFY that says what is told (RFC 5465 §3.1).
            "METADATA" | "METADATA-SERVER" if cx.notify.is_none() => {
                let mailboxes = !cx.hides("METADATA");
                let notify = Notify::metadata(&cx.env, state.login()?, mailboxes).await?;
                cx.notify = Some(Box::new(notify));
            }
            _ => {}
        }
    }
    match enabled.as_slice() {
        [] => cx.line(format_args!("* ENABLED")),
        words => cx.line(format_args!("* ENABLED {}", words.join(" "))),
    }
    Ok(Reply::ok("ENABLE completed"))
}
