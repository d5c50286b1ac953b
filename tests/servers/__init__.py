"""The real servers of the tests: started, filled with stories, stopped."""

from tests.servers.alertmanager import Alertmanager
from tests.servers.client import ApiError, Client
from tests.servers.etcd import Etcd
from tests.servers.kube_apiserver import KubeApiServer, User
from tests.servers.process import ErrorStatus, ServerFailed
from tests.servers.prometheus import Prometheus, scrape_config
from tests.servers.real_cluster import RealCluster, clean_cluster
from tests.servers.waiting import eventually
from tests.servers.webhook import Webhook

__all__ = [
    "Alertmanager",
    "ApiError",
    "Client",
    "ErrorStatus",
    "Etcd",
    "KubeApiServer",
    "Prometheus",
    "RealCluster",
    "ServerFailed",
    "User",
    "Webhook",
    "clean_cluster",
    "eventually",
    "scrape_config",
]
