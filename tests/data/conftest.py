"""Small images made on the spot, and a cache of each test's own."""

from tests.support.data_fixtures import cache, find, make_folder, make_module, no_network, save_image, serve  # noqa: F401
