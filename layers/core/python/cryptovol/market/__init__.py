"""Markets that need no network: a simulated one, and bar files to replay, behind a CryptoCompare-shaped server.

The names below are the API's, and those by which the stand-in server tells that it is one.
"""

PATH = "/data/v2/histohour"
MOST_ROWS = 2000  # asked for in one page; an answer has one more
MARKET_HEADER = "X-Cryptovol-Market"
SOURCE_HEADER = "X-Cryptovol-Source"
