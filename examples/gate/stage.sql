-- What the owner of a database does once for the example: the model, a flight, and an operator's rights for a role.
--	psql -v operator=ROLE -f stage.sql
INSERT INTO facematch.model (name, tag, dims) VALUES ('face-api 1.7.15', 3, 128);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
VALUES ('STORY-1', 'flight', 'face-api 1.7.15', 0.944, now() + interval '3 hours');
SELECT facematch.grant_operator(:'operator');
-- Alerts are off until there is a channel.
INSERT INTO facematch.alert_channel (port) VALUES ('JFK');
