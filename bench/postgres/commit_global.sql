\set patient random(1, 1000)
\set number random(0, 2147483647)
INSERT INTO audit (chain, patient, commitment, fields) VALUES (0, :patient, decode(lpad(to_hex(:number::bigint), 64, '5a'), 'hex'), decode(repeat('a7', 200), 'hex'));
