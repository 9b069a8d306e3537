-- For sorting the ticks of a few instruments.
SET LOCAL work_mem = '128MB'
