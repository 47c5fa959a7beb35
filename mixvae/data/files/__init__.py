"""Reading what users give: arrays, tables, labels, IDX and AnnData files."""
