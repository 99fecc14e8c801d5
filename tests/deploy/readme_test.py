"""The pages of deploy/."""

from deployment import DEPLOY, TOP, said


def test_each_folder_has_a_page_and_no_link_leads_nowhere():
    folders = [path for path in DEPLOY.rglob("*") if path.is_dir() and any(one.is_file() for one in path.iterdir())]
    inner = {"templates", "ci", "base", "central", "sidecar", "vestibule.service.d", "debian"}
    for folder in folders:
        if folder.name not in inner and folder != DEPLOY / "compose/vestibule":
            assert (folder / "README.md").exists(), folder
    pages = [TOP / "README.md", *DEPLOY.rglob("*.md")]
    said("lychee", "--offline", "--no-progress", "--include-fragments", *pages)
