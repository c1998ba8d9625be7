*** Settings ***
Documentation       One batch of turned digits, by every method: golden's results, and its state to the last byte.
...
...                 The digests are the same on every target; a change of the numerics shows in them.
Resource            common.resource
Suite Setup         Connect Device    ${TARGET}
Suite Teardown      Disconnect Device
# Renode's wrapper fills what is empty here with keywords of its own.
Test Setup          No Operation
Test Teardown       No Operation


*** Variables ***
# Of all weights and scores after the batch; README.md says when and how to renew digests.
${NITI_DYNAMIC}     5ad602da3027d511507f38adf98fb345f0bf7a7fa80ca85ee2813d71822d797f
${NITI_STATIC}      65cd734e24b5741bfd0d9a6acbba84bc9f6c9ef42b6f9365404e2c132154ef95
${PRIOT}            1fd737fab6a9510b71773e99cd534233e605f1065d52817ccdf430af81951bdf
${PRIOT_S_RANDOM}   0c3ec4afa262b7054fe04cdd90c14a3164fba0fe15f43cf452080f18feb1369e
${PRIOT_S_WEIGHT}   c398edc1eb8eb9805128c9f475976b42f5235956342a4c8efaa329de076778da


*** Test Cases ***
NITI With Dynamic Scales
    Train By    niti-dynamic    mu=1    state=${NITI_DYNAMIC}

NITI With Static Scales
    Train By    niti-static    mu=1    state=${NITI_STATIC}

PRIOT
    Train By    priot    mu=4    theta=-16    state=${PRIOT}

PRIOT-S With Random Edges
    Train By    priot-s    mu=5    permille=100    select=random    seed=7    state=${PRIOT_S_RANDOM}

PRIOT-S With The Largest Weights
    Train By    priot-s    mu=5    permille=100    select=weight    state=${PRIOT_S_WEIGHT}

A Wrong Weight Is Found And Named
    [Documentation]    The comparison is not blind: one bit of one weight of the device is wrong.
    [Tags]    selftest
    Load Backbone    tinycnn    digits
    Set Method    niti-static    mu=1
    Flip Bit Of Weight    layer=4    row=5    column=40
    Run Keyword And Expect Error
    ...    STARTS:MismatchFailure: step 0, layer 4, weights[5, 40]: expected
    ...    State Should Equal Golden


*** Keywords ***
Train By
    [Documentation]    Eight images, a method and its options as golden has them, and the state that must result.
    [Arguments]    ${method}    ${state}    &{options}
    Load Backbone    tinycnn    digits
    Set Method    ${method}    &{options}
    Take Images    digits    train    count=8    angle=30
    Training Should Equal Golden
    ${found} =    State Should Equal Golden
    Should Be Equal    ${found}    ${state}    state after the batch
