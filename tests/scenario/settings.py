# SPDX-License-Identifier: Apache-2.0
"""Settings: files that do not fit, changes in SQL that are live at once, and
rows that the database refuses."""
import subprocess
import time

from harness.cases import case
from harness.proc import Problem

PROGRAMS = ("keeper", "authd", "mediad", "sbc")


def _check(w, program, path):
    done = subprocess.run([w.installed.program(program), "-t", "-c", path],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=20, check=False)
    return done.returncode, done.stdout.strip()


@case("R63 R64", seconds=2)
def bad_files(w):
    """Each program takes its own file, and says in one line with file and
    line number what is wrong with a bad one."""
    for program in PROGRAMS:
        good = f"{w.gate.conf_dir}/{program}.conf"
        status, text = _check(w, program, good)
        assert status == 0, f"{program}: {text}"
        with open(good, encoding="utf-8") as f:
            lines = f.read()
        for name, content, number in (
                ("unknown", "no_such_option = 1\n" + lines, 1),
                ("twice", lines + 'log_level = "info"\n', None),
                ("level", lines.replace('"debug"', '"loud"'), None),
                ("syntax", lines + "log_level = {\n", None)):
            path = f"{w.dir}/{program}-{name}.conf"
            with open(path, "w", encoding="utf-8") as f:
                f.write(content)
            status, text = _check(w, program, path)
            assert status != 0, f"{program} takes {name}"
            assert len(text.splitlines()) == 1, f"{program} {name}: {text}"
            assert path in text, f"{program} {name}: {text}"
            if number:
                assert f"{path}:{number}:" in text, text
        status, text = _check(w, program, f"{w.dir}/none.conf")
        assert status != 0 and "none.conf" in text, text
        assert len(text.splitlines()) == 1, text


@case("R40", seconds=6)
def a_change_is_live_at_once(w):
    """A caller is blocked in SQL; about a second later its call is refused,
    and works again after the row is gone."""
    account = w.add_phone()
    number, caller = account["number"], "+4988" + account["number"][-7:]

    def call(code, who):
        w.sipp("itsp", "uac_refused", target=True, service=number, code=code,
               caller=caller, who=who).done()

    call(480, "itsp-before")  # no phone is registered
    began = time.monotonic()
    w.settings(f"insert into sbc.blocked_caller (match) values ('{caller}')")
    took = time.monotonic() - began
    assert took < 5, f"{took:.1f} s until it was in force"
    call(603, "itsp-blocked")
    w.settings(f"delete from sbc.blocked_caller where match = '{caller}'")
    call(480, "itsp-after")
    assert w.rows("select 1 from sbc.history where table_name = "
                  "'blocked_caller' and action = 'insert'")


@case("R40 R41", seconds=2)
def the_database_refuses(w):
    """Rows that do not fit never get in: the message names the rule."""
    account = w.add_phone()
    for statement, word in (
            (f"select sbc.add_phone('{account['extension']}', 'again', "
             "realm => 'phones')", "already"),
            ("update sbc.account set username = 'phone' || extension where "
             f"username = '{account['username']}'", "must not contain"),
            ("select sbc.add_trunk('bad', 'not an address!', 'public', "
             "sources => '{192.0.2.0/24}')", "host"),
            ("select sbc.add_trunk('bad', 'name.example.org', 'public')",
             "sources must be listed"),
            ("select sbc.add_route('bad', '(', '{extension}', regex => true)",
             "called_match"),
            ("update sbc.setting set value = '0' where name = 'sip_t1_ms'",
             "does not fit"),
            ("update sbc.realm set digest_realm = 'other' where name = "
             "'phones'", "in use")):
        try:
            w.sql(statement)
        except Problem as e:
            assert word in str(e), e
        else:
            raise AssertionError(f"the database took: {statement}")


@case("R41 R42", seconds=2)
def only_hashes_are_stored(w):
    """The password that was shown once stands nowhere in the database; its
    HA1 does, with the realm it was made for."""
    account = w.add_phone()
    found = w.rows("select algorithm, digest_realm from sbc.account_secret s "
                   "join sbc.account a on a.id = s.account where a.username ="
                   f" '{account['username']}' order by 1")
    assert [r["algorithm"] for r in found] == ["MD5", "SHA-256",
                                               "SHA-512-256"], found
    assert {r["digest_realm"] for r in found} == {"phones.example.net"}
    for table in w.rows("select table_name from information_schema.tables "
                        "where table_schema = 'sbc' and table_type = "
                        "'BASE TABLE'"):
        text = w.sql(f"select t::text from sbc.{table['table_name']} t")
        assert account["password"] not in text, table
    assert account["password"] not in w.gate.log_text()
