"""A page to judge a codec by: listen, look, compare. One HTML file that needs nothing else.

    with Report(model) as page:
        with open_excerpt(path, rate, channels, most_seconds=30) as (reference, facts):
            results = list(evaluate_model(model, reference))
            page.add(Recording(name, facts, reference, results))
        with atomic_output(target) as file:
            page.write(file)

The sounds are FLAC. It is lossless, so that nothing but the codec is judged; it is exact to the
sample, so that versions can be switched in place; and all browsers decode it (Safari has decoded
Opus and Vorbis in Ogg only since 2025). Ten seconds at 24 kHz take about 0.3 MB a version.
"""

from encodec_cli.report.excerpt import open_excerpt
from encodec_cli.report.page import Report
from encodec_cli.report.plotting import check_matplotlib
from encodec_cli.report.recording import Recording

__all__ = ["Recording", "Report", "check_matplotlib", "open_excerpt"]
