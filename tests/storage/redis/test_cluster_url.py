"""Seeds and options of a cluster's URL."""

from storage.redis.cluster import parse_cluster_url


def test_seeds_and_their_options_are_read() -> None:
    seeds, options = parse_cluster_url(
        "rediss+cluster://me:p%40%2Cq@a:1,[::1]:2,c?ssl_ca_certs=/ca.pem&ssl_check_hostname=no"
    )
    assert seeds == [("a", 1), ("::1", 2), ("c", 6379)]
    assert options == {
        "username": "me",
        "password": "p@,q",
        "ssl": True,
        "ssl_ca_certs": "/ca.pem",
        "ssl_check_hostname": False,
    }
    assert parse_cluster_url("redis+cluster://h:7/0") == ([("h", 7)], {})
