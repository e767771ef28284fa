-- What machines ask for, in a sum of its own, and by which rule a click was judged. Goes before the code.
ALTER TABLE rollups ADD COLUMN bots bigint NOT NULL DEFAULT 0;
ALTER TABLE clicks ADD COLUMN rule smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN clicks.rule IS '0: not judged';
