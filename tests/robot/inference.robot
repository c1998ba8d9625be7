*** Settings ***
Documentation       The shipped backbone recognises the same digits on every target.
Resource            common.resource
Suite Setup         Connect Device    ${TARGET}
Suite Teardown      Disconnect Device
# Renode's wrapper fills what is empty here with keywords of its own.
Test Setup          No Operation
Test Teardown       No Operation


*** Variables ***
# Of all predictions, one byte each; README.md says when and how to renew digests.
${UPRIGHT}          e130d600f54fa1b2ba1fb680761ca26ca5e5c358a6c0f2a1dab790fba570671a
${TURNED}           225d7ceda122450b01cd368b170fa54934a09da13cd92ace1ea1cf3cc4319f66


*** Test Cases ***
Upright Digits Are Recognised
    [Documentation]    What the network was trained for.
    Predict Digits    angle=0    correct=63    digest=${UPRIGHT}

Turned Digits Are Not
    [Documentation]    Why the network has to adapt.
    Predict Digits    angle=30    correct=26    digest=${TURNED}


*** Keywords ***
Predict Digits
    [Documentation]    64 test images, turned by an angle: golden's predictions, and so many correct.
    [Arguments]    ${angle}    ${correct}    ${digest}
    Load Backbone    tinycnn    digits
    Set Method    infer
    Take Images    digits    test    count=64    angle=${angle}
    ${found}    ${predictions} =    Predictions Should Equal Golden
    Should Be Equal As Integers    ${found}    ${correct}    correct predictions
    Should Be Equal    ${predictions}    ${digest}    digest of the predictions
