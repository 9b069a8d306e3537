"""The only code that imports dagster, grouped by data set; an asset stands beside its checks."""
