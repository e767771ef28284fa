"""Sources of visits: known services, and the hosts, apps and campaigns that name them."""
