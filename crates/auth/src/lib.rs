//! Password hashing and SASL mechanisms as pure state machines.
