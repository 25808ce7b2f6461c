//! The state machine: decides a command against a view of the state.
