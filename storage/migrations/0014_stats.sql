-- How the quarters of compacted days are stored, so that questions read them fast. Goes before the code.
--
-- A question takes one element of several arrays of many rows. An array as it is costs it 50 ns; one that was
-- compressed, or is kept apart, 5 µs. A row is 5 kB at most, so that it always fits a page; sketches, which
-- are large, seldom read and as random as hashes are, stand apart.
ALTER TABLE dimension_quarters
    ALTER COLUMN at SET STORAGE PLAIN,
    ALTER COLUMN clicks SET STORAGE PLAIN,
    ALTER COLUMN views SET STORAGE PLAIN,
    ALTER COLUMN bots SET STORAGE PLAIN,
    ALTER COLUMN visitors SET STORAGE PLAIN,
    ALTER COLUMN visitors_before SET STORAGE PLAIN,
    ALTER COLUMN visitors_after SET STORAGE PLAIN,
    ALTER COLUMN sketches SET STORAGE EXTERNAL;
-- Sketches of live quarters, too: compressing them is lost work.
ALTER TABLE dimension_counts ALTER COLUMN visitors SET STORAGE EXTERNAL;
