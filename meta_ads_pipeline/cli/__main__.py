"""``python -m meta_ads_pipeline.cli``."""

from meta_ads_pipeline.cli import main

main()
