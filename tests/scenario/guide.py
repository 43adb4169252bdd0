# SPDX-License-Identifier: Apache-2.0
"""The administrator's guide, word by word, from an empty database."""
import re

from harness import proc, runner
from harness.cases import case


def _blocks(text):
    """SQL of the guide in order: blocks as they stand, statements of a table
    (which belong to no order) each undone again."""
    found = []
    for block, row in re.findall(r"```sql\n(.*?)```|^(\|[^\n]*\|)$", text,
                                 re.S | re.M):
        if block:
            found.append(block)
        for statement in re.findall(r"`(SELECT [^`]*;)`", row):
            found.append(f"begin; {statement} rollback;")
    return found


@case("R40 R41", seconds=6, gate="own")
def from_an_empty_database(w):
    """Each SQL statement of doc/admin.md works as it stands there, for the role
    sbc_admin, in order, beginning with a database that has nothing; what comes
    out is accepted by the SBC and has no error in the dry run."""
    with open(f"{w.installed.source}/doc/admin.md", encoding="utf-8") as f:
        blocks = _blocks(f.read())
    assert len(blocks) > 15, len(blocks)
    name = f"{w.net.prefix}-guide"
    w.cluster.create(name)
    try:
        runner.migrate(w.cluster, name, w.installed)
        w.make_gate(wait=False, database=name)
        w.wait(lambda: w.rows("select 1 from sbc.seal_key"), "authd", 30)
        w.sql("insert into sbc.ban (key, host, since, until, reason, failures)"
              " values ('g', '198.51.100.99', now(), now() + '1 h', 0, 3)")
        for block in blocks:
            path = f"{w.dir}/block.sql"
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"set role sbc_admin;\n{block}")
            out = proc.run([f"{w.cluster.bin}/psql", "-X", "-q", "-v",
                            "ON_ERROR_STOP=1", "-h", w.cluster.socket_dir,
                            "-U", "postgres", "-d", name, "-f", path],
                           check=False)
            assert "ERROR" not in out, f"{block}\n{out}"
        state = w.wait(lambda: w.rows("select * from sbc.config_state"),
                       "the settings to be judged")[0]
        assert state["state"] == "accepted", state
        errors = w.rows("select * from sbc.check_config() where severity = "
                        "'error'")
        assert not errors, errors
    finally:
        w.drop_gate()
        w.cluster.drop(name)
