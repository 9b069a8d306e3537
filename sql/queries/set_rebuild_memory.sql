-- For joins of millions of ticks with each other.
SET LOCAL work_mem = '128MB'
