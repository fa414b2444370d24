//! What all tests share: transcripts, throw-away servers, generators.
