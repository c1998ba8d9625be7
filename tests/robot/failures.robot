*** Settings ***
Documentation       A device that crashes or hangs is told apart from all else, with the place, and comes back.
Resource            common.resource
# Renode's wrapper fills what is empty here with keywords of its own.
Suite Setup         No Operation
Suite Teardown      Disconnect Device
Test Setup          Connect Device    ${TARGET}
Test Teardown       No Operation


*** Test Cases ***
A Fault Is A Crash At Its Place
    ${place} =    Break Device    fault
    Running Should Fail    CRASH    naming=${place}

An Endless Loop Is A Timeout At Its Place
    ${place} =    Break Device    hang
    Running Should Fail    TIMEOUT    naming=${place}

A Device That Crashed Serves After A Fresh Start
    ${place} =    Break Device    fault
    Running Should Fail    CRASH    naming=${place}
    Connect Device    ${TARGET}
    Device Should Serve

The Watchdog Brings A Hung Device Back
    [Documentation]    Nobody starts it anew; it says what happened.
    Hang Until The Watchdog Bites
    ${hello} =    Read Hello
    Should Be Equal    ${hello}[reset]    watchdog
    Device Should Serve
