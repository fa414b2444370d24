//! Listeners, TLS, LMTP, limits, configuration and control of the Restante server.
