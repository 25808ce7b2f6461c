//! One validator or observer: engine wiring, execution, storage, custody, release, peer and client API.
