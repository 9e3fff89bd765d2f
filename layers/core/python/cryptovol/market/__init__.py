"""Markets that need no network: a simulated one, and bar files to replay, behind a server in the shape of a venue.

The names below are CryptoCompare's, whose shape is the default, and those by which the stand-in tells that it is one.
"""

PATH = "/data/v2/histohour"
MOST_ROWS = 2000  # asked for in one page; an answer has one more
MARKET_HEADER = "X-Cryptovol-Market"
SOURCE_HEADER = "X-Cryptovol-Source"
