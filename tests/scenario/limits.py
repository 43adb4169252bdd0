# SPDX-License-Identifier: Apache-2.0
"""Limits of accounts over time, and what they survive."""
import time

from harness.cases import case


def _within(seconds):
    """Waits for the next hour (and day) of UTC if this one ends too soon."""
    return time.time() % 3600 < 3600 - seconds


def _dial(w, phone, called):
    """Dials; @return the status that ended it."""
    phone.dial(f"sip:{called}@{phone.server}")
    return phone.wait_event("CALL_CLOSED").get("param", "")


def _reaches(w, phone, called):
    """A call that the trunk refuses."""
    uas = w.sipp("itsp", "uas_refuse", code=486, reason="Busy",
                 who=f"uas{called}")
    answer = _dial(w, phone, called)
    assert "486" in answer, answer
    uas.done()


@case("R47 R52", seconds=14, gate="own", limit=180)
def calls_of_an_hour(w):
    """The third call of an hour that has two is refused, also after kill -9 of
    sbc, and after everything was stopped and started with nothing but the CDRs
    left; an emergency is not."""
    w.make_gate(settings="select sbc.add_emergency('112', 'itsp');")
    w.wait(lambda: _within(50), "the next hour", 60)
    account = w.add_phone()
    w.sql(f"select sbc.limit_phone('{account['extension']}', "
          "max_calls_per_hour => 2)")
    phone = w.phone(account)
    digits = account["number"][-6:]
    _reaches(w, phone, f"+49401{digits}")
    _reaches(w, phone, f"+49402{digits}")
    w.faults_allowed = True
    mark = w.gate.kill_daemon("sbc")
    w.gate.wait_event("daemon_ready", since=mark, process="keeper",
                      daemon="sbc", timeout=20)
    w.gate.wait_event("authd_up", since=mark, process="sbc", timeout=20)
    w.wait(lambda: w.gate.ctl("registrations", check=False),
           "the registration to be known again", 20)
    assert "403" in _dial(w, phone, f"+49403{digits}")
    w.cdr(f"+49403{digits}", sip_status=403, reason_text="limit_account_hour")
    w.wait(lambda: "486" in _emergency(w, phone), "an emergency call")
    row = w.wait(lambda: w.rows("select * from sbc.phone_usage where "
                                "calls_this_hour = 2"), "the usage in SQL")[0]
    assert row["extension"] == account["extension"], row
    assert row["max_calls_per_hour"] == 2 and row["minutes_today"] == 0, row
    phone.stop()

    w.gate.keeper.stop()
    w.gate.start()
    w.wait_settings(0)
    phone = w.phone(account)
    assert "403" in _dial(w, phone, f"+49404{digits}")
    w.cdr(f"+49404{digits}", sip_status=403, reason_text="limit_account_hour")
    w.sql(f"select sbc.limit_phone('{account['extension']}', "
          "max_calls_per_hour => 0)")
    w.wait(lambda: "486" in _busy(w, phone, f"+49405{digits}"),
           "the lifted limit")


def _busy(w, phone, called):
    uas = w.sipp("itsp", "uas_refuse", code=486, reason="Busy",
                 who=f"uas{called}{time.monotonic_ns() % 1000}")
    try:
        return _dial(w, phone, called)
    finally:
        uas.stop()


def _emergency(w, phone):
    return _busy(w, phone, "112")


@case("R47", seconds=10, gate="own", limit=180)
def minutes_of_a_day(w):
    """A call that uses up the last seconds of the day's minutes is ended, and
    the CDR says why; what the CDRs say of earlier calls counts; then nothing
    but an emergency passes."""
    w.make_gate(settings="select sbc.add_emergency('112', 'itsp');")
    w.wait(lambda: _within(60), "the next hour", 70)
    account = w.add_phone()
    w.sql(f"select sbc.limit_phone('{account['extension']}', "
          "max_minutes_per_day => 5)")
    # Five minutes less three seconds, all of them today.
    w.sql("insert into sbc.cdr (call, started_at, answered_at, ended_at, "
          "duration_us, reason) select 'EARLIER' || g, t, t, t, 99000000, 0 "
          "from generate_series(1, 3) g, (select greatest(now(), "
          "date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' + "
          "'99 s') as t) t;"
          "insert into sbc.cdr_leg (call, side, kind, account) select 'EARLIER'"
          " || g, 'caller', 'phone', (select id from sbc.account where username"
          f" = '{account['username']}') from generate_series(1, 3) g")
    phone = w.phone(account)
    called = "+4940" + account["number"][-7:]
    uas = w.sipp("itsp", "uas_call_silent")
    phone.dial(f"sip:{called}@{phone.server}")
    phone.wait_event("CALL_ESTABLISHED")
    phone.wait_event("CALL_CLOSED", timeout=20)
    uas.done()
    w.cdr(called, sip_status=200, hangup_side="sbc",
          reason_text="limit_account_day",
          duration_us=lambda us: 1.5e6 < us < 60e6)
    called = "+4941" + account["number"][-7:]
    assert "403" in _dial(w, phone, called)
    w.cdr(called, sip_status=403, reason_text="limit_account_day")
    assert "486" in _emergency(w, phone)
    row = w.wait(lambda: w.rows("select * from sbc.phone_usage where "
                                "minutes_today >= 5"), "the usage in SQL")[0]
    assert row["extension"] == account["extension"], row
