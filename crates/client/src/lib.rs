//! The wallet and the verifier: builds commands, opens records, checks every answer.
