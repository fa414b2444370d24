//! RFC 5322 and MIME messages to byte offsets, for any bytes whatever.
