"""System: the operator sees processes with their actors, journals, jobs and the version."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def test_the_operator_sees_processes_and_actors(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> list[str]:
        page = screen.page
        screen.open("/system")
        page.wait_for_selector(".kpi:has-text('Version') strong:has-text('.')")
        courier = ".actors li:has-text('courier')"
        page.wait_for_selector(courier)  # a wide screen shows all
        page.click(".processes summary:has-text('workers-0')")
        page.wait_for_selector(courier, state="hidden")
        page.click(".processes summary:has-text('workers-0')")
        page.wait_for_selector(courier)
        page.wait_for_selector("dt:has-text('Clicks not yet shipped')")
        screen.assert_sound()
        faults = screen.axe_faults()
        page.emulate_media(color_scheme="dark")
        return faults + screen.axe_faults()

    assert dashboard.run(work) == []


@pytest.mark.large
def test_a_server_that_does_not_answer_is_told(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/system")
        page.wait_for_selector(".processes summary")
        page.route("**/v1/system", lambda route: route.abort())
        page.wait_for_selector(".asof.warn:has-text('not reached since')")
        page.wait_for_selector(".processes summary")
        screen.faults.clear()  # the aborted requests

    dashboard.run(work)
