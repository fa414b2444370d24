//! Words that are hidden from a user: capabilities, for who serves them.

use restante_store::{Batch, CommitError};

use crate::{
    codec::{Decoded, Reader, put_bytes},
    error::{Limit, MailError, Result},
    keys,
    mail::Mail,
    types::AccountId,
};

/// Words of one user at most.
const WORDS_MAX: usize = 200;
/// The longest word, in bytes.
const WORD_BYTES_MAX: usize = 100;
const VERSION: u8 = 1;

/// Version u8, then each word with its length.
fn encode(words: &[String]) -> Vec<u8> {
    let mut out = vec![VERSION];
    for word in words {
        put_bytes(&mut out, word.as_bytes());
    }
    out
}

fn decode(value: &[u8]) -> Decoded<Vec<String>> {
    let mut reader = Reader::new("hidden words", value);
    if reader.u8()? != VERSION {
        return Err(reader.damaged());
    }
    let mut words = Vec::new();
    while reader.left() > 0 {
        words.push(reader.str()?.to_owned());
    }
    Ok(words)
}

impl Mail {
    /// The words that are hidden from the user of an account; mostly none.
    ///
    /// # Errors
    /// [`MailError::Unavailable`], [`MailError::Damaged`].
    pub async fn hidden_words(&self, account: AccountId) -> Result<Vec<String>> {
        match self.core.store.get(&keys::hidden_words(account)).await? {
            Some(value) => Ok(decode(&value)?),
            None => Ok(Vec::new()),
        }
    }

    /// Hides these words and no others from the user of an account.
    ///
    /// # Errors
    /// [`MailError::Limit`] if there are too many, or one is too long; [`MailError::Unavailable`].
    pub async fn set_hidden_words(&self, account: AccountId, words: &[String]) -> Result<()> {
        let is_long = |word: &String| word.len() > WORD_BYTES_MAX;
        if words.len() > WORDS_MAX || words.iter().any(is_long) {
            return Err(MailError::Limit(Limit::User));
        }
        let key = keys::hidden_words(account);
        let mut batch = Batch::new(account.0);
        if words.is_empty() {
            batch.delete.push(key);
        } else {
            batch.put(key, encode(words));
        }
        match self.core.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict { .. }) => Err(MailError::Busy),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use restante_store::{MemoryOptions, Store};

    use super::*;
    use crate::MailOptions;

    #[tokio::test]
    async fn words_are_kept_for_each_user() {
        let store = Store::memory(MemoryOptions::default());
        let mail = Mail::open(store, MailOptions::default()).await.unwrap();
        let ada = mail.user_add("ada", None).await.unwrap().account;
        let bob = mail.user_add("bob", None).await.unwrap().account;
        let words = ["NOTIFY".to_owned(), "SORT=DISPLAY".to_owned()];
        mail.set_hidden_words(ada, &words).await.unwrap();
        assert_eq!(mail.hidden_words(ada).await.unwrap(), words);
        assert!(mail.hidden_words(bob).await.unwrap().is_empty());
        mail.set_hidden_words(ada, &[]).await.unwrap();
        assert!(mail.hidden_words(ada).await.unwrap().is_empty());
        let long = mail.set_hidden_words(ada, &["X".repeat(101)]).await;
        assert!(matches!(long, Err(MailError::Limit(_))), "{long:?}");
        assert!(decode(&[VERSION, 9, b'x']).is_err());
    }
}
