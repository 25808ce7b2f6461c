-- An audit table as PostgreSQL can keep one: each row's fields are encrypted, and each row is linked to
-- the one before it by a hash, so that a row that is changed or removed later is noticed.
--
-- The chain that a row is appended to is 0 for all rows (one chain over all) or the patient's number
-- (one chain per patient): commit_global.sql and commit_patient.sql say which.
--
-- What favours PostgreSQL here: nobody's signature is verified, one key encrypts everything and lies in
-- the database, AES is used without the key stretching of pgp_sym_encrypt, and whoever administers the
-- primary can rewrite the whole chain.

CREATE EXTENSION pgcrypto;

CREATE TABLE audit_key (id integer PRIMARY KEY, key bytea NOT NULL);
INSERT INTO audit_key VALUES (1, gen_random_bytes(32));

CREATE TABLE chain_head (
    chain    integer PRIMARY KEY,
    sequence bigint  NOT NULL,
    link     bytea   NOT NULL
) WITH (fillfactor = 10);
INSERT INTO chain_head SELECT chain, 0, digest('', 'sha256') FROM generate_series(0, 1000) AS chain;

CREATE TABLE audit (
    chain      integer NOT NULL,
    sequence   bigint  NOT NULL,
    patient    integer NOT NULL,
    commitment bytea   NOT NULL,
    fields     bytea   NOT NULL,
    link       bytea   NOT NULL,
    PRIMARY KEY (chain, sequence)
);
ALTER TABLE audit ALTER COLUMN fields SET STORAGE PLAIN;

-- Encrypts before the chain is locked, so that rows of one chain wait for each other no longer than the
-- chain needs.
CREATE FUNCTION audit_link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    iv   bytea := gen_random_bytes(16);
    head chain_head;
BEGIN
    NEW.fields := iv || encrypt_iv(NEW.fields, (SELECT key FROM audit_key WHERE id = 1), iv, 'aes-cbc/pad:pkcs');
    SELECT * INTO STRICT head FROM chain_head WHERE chain = NEW.chain FOR UPDATE;
    NEW.sequence := head.sequence + 1;
    NEW.link := digest(
        head.link || int4send(NEW.chain) || int8send(NEW.sequence) || int4send(NEW.patient)
            || NEW.commitment || NEW.fields,
        'sha256');
    UPDATE chain_head SET sequence = NEW.sequence, link = NEW.link WHERE chain = NEW.chain;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_link BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_link();

-- How many rows are not linked to the row before them; 0 in a chain that nobody touched.
CREATE VIEW audit_broken AS
SELECT count(*) AS broken
FROM (
    SELECT link IS DISTINCT FROM digest(
        lag(link, 1, digest('', 'sha256')) OVER (PARTITION BY chain ORDER BY sequence)
            || int4send(chain) || int8send(sequence) || int4send(patient) || commitment || fields,
        'sha256') AS broken
    FROM audit
) AS links
WHERE broken;
