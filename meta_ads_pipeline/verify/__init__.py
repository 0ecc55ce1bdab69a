"""Compare an Ads Manager export with the marts."""
